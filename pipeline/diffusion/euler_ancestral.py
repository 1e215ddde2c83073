"""Euler Ancestral: from noise to a sample, given any function that predicts the noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from pipeline.core.randomness import generator, to_device
from pipeline.diffusion.models import BETA_END, BETA_START, TRAIN_STEPS

PredictNoise = Callable[[torch.Tensor, int], torch.Tensor]
"""(x = x_0 + sigma_t eps, t) -> the prediction of eps, of x's shape, in float32."""


def timesteps(steps: int) -> np.ndarray:
    """[T] float64: the U-Net's time at each step, from 999 down to 0, evenly ("linspace"), fractions included."""
    return np.linspace(TRAIN_STEPS - 1, 0, steps)


def noise_levels(steps: int) -> np.ndarray:
    """[T + 1] float64: sigma at each step and 0 after the last, for Stable Diffusion's "scaled_linear" betas."""
    betas = np.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS) ** 2
    alphas_cumprod = np.cumprod(1 - betas)
    sigmas = np.sqrt((1 - alphas_cumprod) / alphas_cumprod)
    return np.append(np.interp(timesteps(steps), np.arange(TRAIN_STEPS), sigmas), 0.0)


def ancestral_split(sigma: float, sigma_next: float) -> tuple[float, float]:
    """(sigma_down, sigma_up): denoise to sigma_down, then add noise of sigma_up; their squares add to sigma_next squared."""
    sigma_up = (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5
    return (sigma_next**2 - sigma_up**2) ** 0.5, sigma_up


def euler_ancestral(predict: PredictNoise, sigmas: Sequence[float], noise: Iterator[torch.Tensor]) -> torch.Tensor:
    """Integrate from noise of sigmas[0] to the sample at sigmas[-1], in float32.

    `noise` yields one standard normal tensor for the start and one for each step but the last, which adds none.
    """
    x = next(noise) * sigmas[0]
    for step, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        sigma_down, sigma_up = ancestral_split(sigma, sigma_next)
        x = x + predict(x, step) * (sigma_down - sigma)
        if sigma_up > 0:
            x = x + next(noise) * sigma_up
    return x


def image_noise(seeds: Sequence[int], shape: Sequence[int], device: torch.device | str) -> Iterator[torch.Tensor]:
    """Yield standard normal [N, *shape] float32 for ever; row i depends on seeds[i] alone, whatever the batch or device."""
    generators = [generator(seed) for seed in seeds]
    while True:
        yield to_device(device, torch.stack([torch.randn(*shape, generator=g) for g in generators]))
