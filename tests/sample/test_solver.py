"""Euler Ancestral against a Gaussian's exact denoiser, and its noise levels against diffusers' and training's."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

from pipeline.diffusion.noise_schedule import BETA_END, BETA_START, NOISE, ancestral_split, euler_ancestral
from pipeline.sample.sampler import image_noise

MEAN, STD = 2.0, 0.7


def _gaussian(sigmas):
    """The mean of eps given x = x_0 + sigma eps, x_0 ~ N(MEAN, STD^2)."""
    return lambda x, step: (x - MEAN) * sigmas[step] / (STD**2 + sigmas[step] ** 2)


def _sample(steps):
    sigmas = [float(s) for s in NOISE.noise_levels(steps)]
    draws = torch.Generator().manual_seed(0)
    noise = iter(lambda: torch.randn(100_000, generator=draws, dtype=torch.float64), None)
    return euler_ancestral(_gaussian(sigmas), sigmas, noise)


def test_a_gaussian_comes_back_with_its_mean_and_spread():
    x = _sample(400)
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(x.std()) == pytest.approx(STD, rel=0.03)


def test_the_error_falls_in_proportion_to_the_step():
    errors = [abs(float(_sample(steps).std()) - STD) for steps in (25, 50, 100)]
    assert 1.6 < errors[0] / errors[1] < 2.6
    assert 1.6 < errors[1] / errors[2] < 2.6


@pytest.mark.parametrize("steps", [2, 7, 30, 1000])
def test_noise_levels_and_times_are_those_of_diffusers(steps):
    scheduler = EulerAncestralDiscreteScheduler(beta_start=BETA_START, beta_end=BETA_END, beta_schedule="scaled_linear")
    scheduler.set_timesteps(steps)
    np.testing.assert_allclose(NOISE.noise_levels(steps), scheduler.sigmas.numpy(), rtol=2e-5)
    np.testing.assert_allclose(NOISE.times(steps), scheduler.timesteps.numpy(), rtol=1e-6)


def test_one_step_starts_from_the_most_noise():
    assert NOISE.noise_levels(1)[0] == NOISE.noise_levels(30)[0] > 14


def test_noise_removed_and_added_leaves_the_next_level():
    down, up = ancestral_split(3.0, 2.0)
    assert down**2 + up**2 == pytest.approx(4.0)
    assert ancestral_split(3.0, 0.0) == (0.0, 0.0)


def test_an_images_noise_depends_on_its_own_seed_alone():
    together, other, alone = (image_noise(seeds, (4, 3, 5), "cpu") for seeds in ([5, 6, 7], [7, 5], [6]))
    for _ in range(3):
        a, b, c = next(together), next(other), next(alone)
        assert torch.equal(a[0], b[1]) and torch.equal(a[2], b[0]) and torch.equal(a[1], c[0])
        assert not torch.equal(a[0], a[1])
