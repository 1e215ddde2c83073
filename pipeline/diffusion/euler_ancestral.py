"""Euler Ancestral: from noise to a sample, given any function that predicts the noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

Predict = Callable[[torch.Tensor, int], torch.Tensor]
"""(x = x_0 + sigma_t eps, t) -> the prediction of eps, of x's shape, in float32."""


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
