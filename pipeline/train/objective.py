"""The training objective: predict the noise, mean squared error per sample, min-SNR weights (Hang 2023)."""

from __future__ import annotations

import torch

from pipeline.diffusion.models import BETA_END, BETA_START, TRAIN_STEPS


def alphas_cumprod() -> torch.Tensor:
    """[1000] float32: how much of the image's variance is left at each timestep of Stable Diffusion."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS, dtype=torch.float32) ** 2
    return torch.cumprod(1.0 - betas, dim=0)


def add_noise(latents: torch.Tensor, noise: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Latents [B,4,h,w] diffused to the variance `kept` [B]: sqrt(kept) * latents + sqrt(1 - kept) * noise."""
    kept = kept[:, None, None, None]
    return kept.sqrt() * latents + (1.0 - kept).sqrt() * noise


def min_snr_weight(kept: torch.Tensor, gamma: float | None) -> torch.Tensor:
    """min(SNR, gamma) / SNR of each sample, [B] -> [B]; ones when gamma is None."""
    if gamma is None:
        return torch.ones_like(kept)
    snr = kept / (1.0 - kept)
    return snr.clamp(max=gamma) / snr


def noise_loss(predicted: torch.Tensor, noise: torch.Tensor, kept: torch.Tensor, gamma: float | None) -> torch.Tensor:
    """Mean over the batch of the weighted squared error, a scalar, in float32."""
    errors = (predicted.float() - noise.float()).square().mean(dim=(1, 2, 3))
    return (errors * min_snr_weight(kept, gamma)).mean()
