"""Stable Diffusion XL, as `families.ModelFamily` says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import UserError
from pipeline.diffusion.families.sd1 import StableDiffusion1
from pipeline.diffusion.families.sdxl.layout import CLIP_SKIP, LATENT_SCALE, LAYOUT

if TYPE_CHECKING:
    import torch


class StableDiffusionXLFamily(StableDiffusion1):
    layout = LAYOUT
    latent_scale = LATENT_SCALE
    base_model_version = "sdxl_base_v1-0"
    a1111_version = "SDXL"
    # SDXL's VAE overflows in half precision.
    sd_scripts_settings = {"no_half_vae": True}
    sd_scripts_cpu_precisions = ("fp32", "bf16")

    @property
    def sd_scripts(self) -> Any:
        from pipeline.diffusion.families.sdxl import sd_scripts

        return sd_scripts

    def check_clip_skip(self, clip_skip: int) -> None:
        if clip_skip != CLIP_SKIP:
            raise UserError(
                f"clip_skip must be {CLIP_SKIP} for an SDXL model, which always uses the last layer but one of both its "
                f"text encoders, got {clip_skip} (params.yaml)"
            )

    def load(self, model: Path, vae: Path, dtype: torch.dtype | None) -> Any:
        from pipeline.diffusion.families.sdxl.model import load

        return load(self, model, vae, dtype)
