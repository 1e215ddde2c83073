"""The folder of a Stable Diffusion XL."""

from __future__ import annotations

from pipeline.diffusion.families.layout import Configs, FamilyLayout, blocks_fault, unet_fault

CLIP_SKIP = 2
"""SDXL was trained on the last layer but one of both text encoders, and sd-scripts has no other for it."""

BLOCKS = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
_DIFFUSERS_DEFAULT = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]


def _fault(configs: Configs) -> str | None:
    if found := unet_fault(configs):
        return found
    if not configs["text_encoder"]:
        return "SDXL's refiner" if configs["text_encoder_2"] else "an SDXL without text_encoder"
    return blocks_fault(configs["unet"], BLOCKS, _DIFFUSERS_DEFAULT)


LAYOUT = FamilyLayout(
    key="sdxl",
    name="SDXL",
    description="Stable Diffusion XL",
    tokenizers={"tokenizer": "openai_clip-vit-large-patch14", "tokenizer_2": "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k"},
    text_encoders=("text_encoder", "text_encoder_2"),
    own_parts=("tokenizer_2", "text_encoder_2"),
    claims=lambda configs: configs["unet"].get("addition_embed_type") == "text_time",
    fault=_fault,
    package=__package__,
)
