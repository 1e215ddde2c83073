"""Prompts -> latents -> images with one Stable Diffusion, 1.x or XL, whose LoRA is already merged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.core.randomness import to_device
from pipeline.diffusion import euler_ancestral as solver
from pipeline.diffusion import lora
from pipeline.diffusion.compiled import is_compiled
from pipeline.diffusion.cpu_layout import optimized_for_cpu
from pipeline.diffusion.cross_attention_cache import cached_cross_attention
from pipeline.diffusion.deterministic import exact
from pipeline.diffusion.models import StableDiffusion, check_precision, load_base
from pipeline.methods.registry import call
from pipeline.methods.schedules import Schedule
from pipeline.sample.guidance import GuidedNoise

DECODE_PIXELS = 4 * 512 * 512
"""Pixels that the VAE decodes at a time: its activations are the peak of memory."""


@dataclass(frozen=True)
class Settings:
    """How images are drawn, but for the model, the prompts and the seeds."""

    schedule: Schedule
    steps: int = 30
    height: int = 512
    width: int = 512
    clip_skip: int = 2
    max_token_length: int = 75

    @property
    def noise_levels(self) -> list[float]:
        """sigma at each step, [T]."""
        return [float(sigma) for sigma in solver.noise_levels(self.steps)[:-1]]

    @property
    def scales(self) -> list[float]:
        """s_t at each step, [T]."""
        return [call(self.schedule.scale, step, self.steps, sigma) for step, sigma in enumerate(self.noise_levels)]


@dataclass(frozen=True)
class Drawn:
    """One batch of images and what was recorded on the way, on the CPU."""

    pixels: np.ndarray
    """[N,H,W,3] uint8."""
    latents: torch.Tensor
    """The last latents before decoding, scaled as the U-Net sees them, [N,4,h,w] float32."""
    diff_norm: torch.Tensor
    """||cond - uncond||_2 of the predicted noise, [N,T] float32."""

    def not_finite(self) -> list[int]:
        """Rows whose latents hold NaN or infinity."""
        return [row for row, latents in enumerate(self.latents) if not bool(torch.isfinite(latents).all())]


def dtype_of(precision: str, device: torch.device | str) -> torch.dtype:
    """params' precision (fp32, fp16, bf16) -> dtype; float32 instead of fp16 on a CPU, which has no fast kernels for it."""
    if precision == "fp16" and torch.device(device).type == "cpu":
        return torch.float32
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def load_merged(
    model: str | Path, vae: str | Path | None, weights: Path | None, precision: str, device: torch.device | str
) -> StableDiffusion:
    """The base model with a LoRA merged in float32, then rounded to `precision`, on the device that samples.

    Raises UserError as `check_precision`, `load_base` and `lora.merge` do.
    """
    check_precision(precision, device)
    dtype = dtype_of(precision, device)
    base = load_base(model, vae, dtype=None)
    if weights is not None:
        lora.merge(base, weights, dtype=dtype)
    return base.place(device, dtype)


def draw(
    model: StableDiffusion, conditions: torch.Tensor, unconditional: torch.Tensor, seeds: Sequence[int], settings: Settings
) -> Drawn:
    """One batch: conditions [N,S,d], the empty prompt's [1,S,d], and a seed per image -> N images."""
    with torch.inference_mode(), exact():
        latents, diff_norm = draw_latents(model, conditions, unconditional, seeds, settings)
        return Drawn(decode(model, latents).cpu().numpy(), latents.cpu(), diff_norm.cpu())


@torch.inference_mode()
def draw_latents(
    model: StableDiffusion, conditions: torch.Tensor, unconditional: torch.Tensor, seeds: Sequence[int], settings: Settings
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `draw`, without decoding -> latents [N,4,h,w] float32, diff_norm [N,T] float32, on the model's device."""
    both = torch.cat([unconditional.expand_as(conditions), conditions])
    times = to_device(model.device, torch.tensor(solver.timesteps(settings.steps), dtype=torch.float32))

    def predict(x: torch.Tensor, step: int) -> torch.Tensor:
        sample = x.to(dtype=model.unet.dtype, memory_format=model.layout)
        return model.predict_noise(sample, times[step], both)

    guided = GuidedNoise(predict, settings.noise_levels, settings.scales)
    cell = model.pixels_per_latent
    shape = (model.latent_channels, settings.height // cell, settings.width // cell)
    noise = solver.image_noise(seeds, shape, model.device)
    with ExitStack() as arranged:
        if not is_compiled(model.unet):
            arranged.enter_context(cached_cross_attention(model.unet, model.states(both)))
            if model.device.type == "cpu":
                arranged.enter_context(optimized_for_cpu(model.unet, len(both), shape[1] * shape[2]))
        latents = solver.euler_ancestral(guided, [*settings.noise_levels, 0.0], noise)
    return latents, guided.diff_norm


@torch.inference_mode()
def decode(model: StableDiffusion, latents: torch.Tensor) -> torch.Tensor:
    """Scaled latents [N,4,h,w] -> pixels [N,H,W,3] uint8, on the model's device."""
    height, width = (side * model.pixels_per_latent for side in latents.shape[-2:])
    rows = max(1, DECODE_PIXELS // (height * width))
    parts = (latents / model.latent_scale).to(model.vae.dtype).split(rows)
    return torch.cat([to_uint8(model.vae.decode(part, return_dict=False)[0]) for part in parts])


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """[N,3,H,W] in [-1,1] -> [N,H,W,3] uint8: clamped, and rounded to the nearest level."""
    levels = ((images.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous()
