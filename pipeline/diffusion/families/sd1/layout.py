"""The folder of a Stable Diffusion 1.x."""

from __future__ import annotations

from pipeline.diffusion.families.layout import Configs, FamilyLayout, blocks_fault, unet_fault

BLOCKS = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]


def _fault(configs: Configs) -> str | None:
    unet, text = configs["unet"], configs["text_encoder"]
    if found := unet_fault(configs):
        return found
    if unet.get("use_linear_projection"):
        return "Stable Diffusion 2"
    if found := blocks_fault(unet, BLOCKS, BLOCKS):
        return found
    wide, context = text.get("hidden_size"), unet.get("cross_attention_dim")
    if None not in (wide, context) and wide != context:
        return f"a U-Net for text {context} wide beside a text encoder {wide} wide"
    return None


LAYOUT = FamilyLayout(
    key="sd1",
    name="Stable Diffusion 1.x",
    description="Stable Diffusion 1.x",
    tokenizers={"tokenizer": "openai_clip-vit-large-patch14"},
    text_encoders=("text_encoder",),
    own_parts=(),
    claims=lambda configs: bool(configs["unet"]) and configs["unet"].get("addition_embed_type") != "text_time",
    fault=_fault,
    package=__package__,
)
