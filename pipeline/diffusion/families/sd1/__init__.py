"""Stable Diffusion 1.x, as `families.ModelFamily` says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.diffusion.families.sd1.layout import LATENT_SCALE, LAYOUT

if TYPE_CHECKING:
    import torch


class StableDiffusion1:
    layout = LAYOUT
    latent_scale = LATENT_SCALE
    base_model_version = "sd_v1"
    a1111_version = "SD1"
    network_module = "networks.lora"
    sd_scripts_settings: Mapping[str, Any] = {}
    sd_scripts_cpu_precisions: tuple[str, ...] = ("fp32",)

    @property
    def noise(self) -> Any:
        from pipeline.diffusion.noise_schedule import NOISE

        return NOISE

    @property
    def sd_scripts(self) -> Any:
        from pipeline.diffusion.families.sd1 import sd_scripts

        return sd_scripts

    def check_clip_skip(self, clip_skip: int) -> None:
        """Accept any: how many layers there are is known when the text encoder is loaded."""

    def load(self, model: Path, vae: Path, dtype: torch.dtype | None) -> Any:
        from pipeline.diffusion.families.sd1.model import load

        return load(self, model, vae, dtype)
