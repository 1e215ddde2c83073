"""The folder of a Stable Diffusion 1.x."""

from __future__ import annotations

from pipeline.diffusion.families.allow_list import SCHEDULER_RULES, text_rules, unet_rules, vae_rules
from pipeline.diffusion.families.layout import Configs, FamilyLayout, blocks_fault, part_classes, parts_fault, relative_fault

BLOCKS = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]
LATENT_SCALE = 0.18215

_UNET, _TEXT = unet_rules(BLOCKS), text_rules("text_encoder")
_RULES = (SCHEDULER_RULES, _UNET, _TEXT, vae_rules((LATENT_SCALE,)))


def _fault(configs: Configs) -> str | None:
    unet = configs["unet"]
    if found := relative_fault(configs):
        return found
    if unet.get("use_linear_projection"):
        return "Stable Diffusion 2"
    if found := blocks_fault(unet, BLOCKS):
        return found
    classes = part_classes(LAYOUT, {"text_encoder": ["CLIPTextModel"]})
    if found := parts_fault(configs, _RULES, "StableDiffusion", classes):
        return found
    wide, context = _TEXT.meant(configs.get("text_encoder", {}), "hidden_size"), _UNET.meant(unet, "cross_attention_dim")
    if "text_encoder" in configs and wide != context:
        return f"a U-Net for text {context} wide beside a text encoder {wide} wide"
    return None


LAYOUT = FamilyLayout(
    key="sd1",
    name="Stable Diffusion 1.x",
    description="Stable Diffusion 1.x",
    tokenizers={"tokenizer": "openai_clip-vit-large-patch14"},
    text_encoders=("text_encoder",),
    lora_encoders={"lora_te": "text_encoder"},
    own_parts=(),
    claims=lambda configs: bool(configs.get("unet")) and configs["unet"].get("addition_embed_type") != "text_time",
    fault=_fault,
    latent_scale=LATENT_SCALE,
    package=__package__,
)
