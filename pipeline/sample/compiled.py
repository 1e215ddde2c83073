"""Compile the U-Net for sampling, where there is enough to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pipeline.diffusion.compiled import compile_checked, wanted
from pipeline.diffusion.models import StableDiffusion

if TYPE_CHECKING:
    from pipeline.sample.sampler import Settings

_WORTH_PIXELS = 256 * 512 * 512
"""From this many pixels on, compiling (a minute or two the first time) should pay for itself."""

_GPU_OPTIONS = {"triton.cudagraphs": True, "deterministic": True}
"""Deterministic: kernels are not chosen by timing them, which could choose others the next time, with another rounding."""


def compile_if_worth_it(model: StableDiffusion, settings: Settings, condition: torch.Tensor, rows: int, images: int) -> None:
    """Compile the model's U-Net for batches of `rows` images when there are enough of them to draw, and it works."""
    if not wanted(model.device, images * settings.height * settings.width >= _WORTH_PIXELS):
        return
    options = {} if model.device.type == "cpu" else _GPU_OPTIONS
    # The example too: tensors made outside are of another kind, for which the next call would compile again.
    with torch.inference_mode():
        inputs = _example(model, settings, condition, rows)
        compile_checked(model.unet, lambda: model.predict_noise(*inputs), options, "sample")


def _example(model: StableDiffusion, settings: Settings, condition: torch.Tensor, rows: int) -> tuple[torch.Tensor, ...]:
    """Inputs of the shapes that sampling has: both branches of `rows` images."""
    cell = model.pixels_per_latent
    shape = (2 * rows, model.latent_channels, settings.height // cell, settings.width // cell)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    latents = noise.to(model.device, model.unet.dtype).to(memory_format=model.layout)
    both = condition.expand(2 * rows, *condition.shape[1:]).contiguous()
    return latents, torch.tensor(500.0, device=model.device), both
