"""The folder of a Stable Diffusion XL."""

from __future__ import annotations

from pipeline.diffusion.families.allow_list import SCHEDULER_RULES, text_rules, unet_rules, vae_rules
from pipeline.diffusion.families.layout import Configs, FamilyLayout, blocks_fault, part_classes, parts_fault, relative_fault

CLIP_SKIP = 2
"""SDXL was trained on the last layer but one of both text encoders, and sd-scripts has no other for it."""

BLOCKS = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
LATENT_SCALE = 0.13025
TIME_IDS = 6
"""Numbers that SDXL is told of an image's size and crop."""

_UNET = unet_rules(
    BLOCKS,
    ("transformer_layers_per_block", "addition_time_embed_dim", "projection_class_embeddings_input_dim"),
    use_linear_projection=True,
    addition_embed_type="text_time",
)
_ONE, _TWO = text_rules("text_encoder"), text_rules("text_encoder_2")
_RULES = (SCHEDULER_RULES, _UNET, _ONE, _TWO, vae_rules((LATENT_SCALE,)))


def _fault(configs: Configs) -> str | None:
    if found := relative_fault(configs):
        return found
    if "text_encoder" not in configs:
        return "SDXL's refiner" if "text_encoder_2" in configs else "an SDXL without text_encoder"
    if found := blocks_fault(configs["unet"], BLOCKS):
        return found
    encoders = {"text_encoder": ["CLIPTextModel"], "text_encoder_2": ["CLIPTextModelWithProjection"]}
    return parts_fault(configs, _RULES, "StableDiffusionXL", part_classes(LAYOUT, encoders)) or _widths_fault(configs)


def _widths_fault(configs: Configs) -> str | None:
    """Tell that the U-Net's conditions are of other widths than what the text encoders give."""
    if "text_encoder_2" not in configs:
        return None
    unet, second = configs["unet"], configs["text_encoder_2"]
    one, two = _ONE.meant(configs["text_encoder"], "hidden_size"), _TWO.meant(second, "hidden_size")
    if (context := _UNET.meant(unet, "cross_attention_dim")) != one + two:
        return f"a U-Net for text {context} wide beside text encoders {one} and {two} wide"
    pooled, time = _TWO.meant(second, "projection_dim"), unet.get("addition_time_embed_dim") or 0
    if (added := unet.get("projection_class_embeddings_input_dim")) != pooled + TIME_IDS * time:
        return f"a U-Net whose added condition is {added} wide, not {pooled} + {TIME_IDS} x {time}"
    return None


LAYOUT = FamilyLayout(
    key="sdxl",
    name="SDXL",
    description="Stable Diffusion XL",
    tokenizers={"tokenizer": "openai_clip-vit-large-patch14", "tokenizer_2": "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k"},
    text_encoders=("text_encoder", "text_encoder_2"),
    lora_encoders={"lora_te1": "text_encoder", "lora_te2": "text_encoder_2"},
    own_parts=("tokenizer_2", "text_encoder_2"),
    claims=lambda configs: configs.get("unet", {}).get("addition_embed_type") == "text_time",
    fault=_fault,
    latent_scale=LATENT_SCALE,
    # What its second text encoder was trained with: "!", the first token.
    pad_tokens={"tokenizer_2": 0},
    package=__package__,
)
