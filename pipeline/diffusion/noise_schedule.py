"""Stable Diffusion's noise, 1.x and XL: "scaled_linear" levels, training to predict epsilon, sampling by Euler Ancestral."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

BETA_START, BETA_END, TRAIN_STEPS = 0.00085, 0.012, 1000

Predict = Callable[[torch.Tensor, int], torch.Tensor]
"""(x = x_0 + sigma_t eps, t) -> the prediction of eps, of x's shape, in float32."""


def alphas_cumprod(library: Any = np, dtype: Any = np.float64) -> Any:
    """Return how much of the image's variance is left at each timestep, [1000], computed by `library`, numpy or torch.

    Training adds up in torch's float32, sampling in numpy's float64: they differ in the last bits, and weights and images
    depend on those.
    """
    betas = library.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS, dtype=dtype) ** 2
    return library.cumprod(1.0 - betas, 0)


def min_snr_weight(alphas: torch.Tensor, gamma: float | None) -> torch.Tensor:
    """Return min(SNR, gamma) / SNR of each sample (Hang 2023), [B] -> [B]; ones when gamma is None."""
    if gamma is None:
        return torch.ones_like(alphas)
    snr = alphas / (1.0 - alphas)
    return snr.clamp(max=gamma) / snr


def ancestral_split(sigma: float, sigma_next: float) -> tuple[float, float]:
    """Return (sigma_down, sigma_up): denoise to the first, then add noise of the second; squared they add to sigma_next's."""
    sigma_up = (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5
    return (sigma_next**2 - sigma_up**2) ** 0.5, sigma_up


def euler_ancestral(predict: Predict, sigmas: Sequence[float], noise: Iterator[torch.Tensor]) -> torch.Tensor:
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


class EpsilonNoise:
    """A `families.NoiseProcess`: the network sees latents of variance 1 at 1000 timesteps, and predicts the noise in them."""

    train_steps = TRAIN_STEPS
    sampler_name = "Euler a"

    def __init__(self) -> None:
        self._tables: dict[torch.device, torch.Tensor] = {}

    def _alphas(self, timesteps: torch.Tensor) -> torch.Tensor:
        device = timesteps.device
        if device not in self._tables:
            self._tables[device] = alphas_cumprod(torch, torch.float32).to(device)
        return self._tables[device][timesteps]

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return sqrt(a) * latents + sqrt(1 - a) * noise, with alphas_cumprod a at each row's timestep."""
        alphas = self._alphas(timesteps)[:, None, None, None]
        return alphas.sqrt() * latents + (1.0 - alphas).sqrt() * noise

    def loss(
        self, predicted: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, gamma: float | None
    ) -> torch.Tensor:
        """Return the mean over the batch of the squared error, weighted by `min_snr_weight`."""
        errors = (predicted.float() - noise.float()).square().mean(dim=(1, 2, 3))
        return (errors * min_snr_weight(self._alphas(timesteps), gamma)).mean()

    def times(self, steps: int) -> np.ndarray:
        """Return the network's time at each step, [T] float64, from 999 to 0 evenly ("linspace"), fractions included."""
        return np.linspace(TRAIN_STEPS - 1, 0, steps)

    def noise_levels(self, steps: int) -> np.ndarray:
        """Return sigma at each step and 0 after the last, [T + 1] float64."""
        alphas = alphas_cumprod()
        sigmas = np.sqrt((1 - alphas) / alphas)
        return np.append(np.interp(self.times(steps), np.arange(TRAIN_STEPS), sigmas), 0.0)

    def network_input(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Scale x_0 + sigma eps back to variance 1, which the network was trained on."""
        return x / (sigma**2 + 1) ** 0.5

    def solve(self, predict: Predict, sigmas: Sequence[float], noise: Iterator[torch.Tensor]) -> torch.Tensor:
        return euler_ancestral(predict, sigmas, noise)


NOISE = EpsilonNoise()
