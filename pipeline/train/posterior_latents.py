"""The VAE's posterior of every training image and of its mirror image, encoded once and sampled at every step."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from pipeline.core.errors import UserError
from pipeline.core.images import load_image

ScaleLatents = Callable[[torch.Tensor], torch.Tensor]

_BATCH, _PIXELS = 16, 4 * 512 * 512
"""How many images are encoded at a time, and how many pixels at most: its first layers hold 640 numbers a pixel."""


@dataclass(frozen=True)
class PosteriorLatents:
    """mean and std [N,F,4,h,w] on the device; F is 2 (the image, its mirror image) or 1. `scale` is the model's."""

    mean: torch.Tensor
    std: torch.Tensor
    scale: ScaleLatents

    def sample(self, rows: torch.Tensor, flips: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return latents [B,4,h,w] of images `rows` [B], mirrored where `flips` [B], scaled as the U-Net wants them."""
        views = flips.long()
        return self.scale(self.mean[rows, views] + self.std[rows, views] * noise)

    def frozen(self, generator: torch.Generator) -> PosteriorLatents:
        """Draw one latent for good from each posterior: what sd-scripts' cache_latents does."""
        noise = torch.randn(self.mean.shape, generator=generator).to(self.mean.device)
        return PosteriorLatents(self.mean + self.std * noise, torch.zeros_like(self.std), self.scale)


@torch.no_grad()
def encode_images(vae: AutoencoderKL, paths: Sequence[Path], flip: bool, scale: ScaleLatents) -> PosteriorLatents:
    """Encode image files of one size. The mirror image is encoded too, because a VAE is not symmetric.

    Raise UserError when a file is unreadable or its latents are not finite.
    """
    means, stds = [], []
    rows = max(1, min(_BATCH, _PIXELS // _pixels(paths[0])[0].numel()))
    for start in range(0, len(paths), rows):
        batch = paths[start : start + rows]
        pixels = torch.stack([_pixels(path) for path in batch]).to(vae.device, vae.dtype)
        views = [pixels, pixels.flip(-1)] if flip else [pixels]
        posteriors = [vae.encode(view).latent_dist for view in views]
        mean = torch.stack([posterior.mean.float() for posterior in posteriors], dim=1)
        std = torch.stack([posterior.std.float() for posterior in posteriors], dim=1)
        _check_finite(mean + std, batch)
        means.append(mean)
        stds.append(std)
    return PosteriorLatents(torch.cat(means), torch.cat(stds), scale)


def _pixels(path: Path) -> torch.Tensor:
    """Load an image file -> [3,H,W] float32 in [-1, 1]."""
    return torch.from_numpy(np.array(load_image(path))).permute(2, 0, 1).float() / 127.5 - 1.0


def _check_finite(latents: torch.Tensor, paths: Sequence[Path]) -> None:
    for path, latent in zip(paths, latents, strict=True):
        if not torch.isfinite(latent).all():
            raise UserError(f"the VAE's latents of {path} are NaN or infinite; set precision: fp32, or replace the VAE (vae)")
