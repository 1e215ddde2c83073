"""Moments of the selected, against scipy's truncated normal, quadrature and limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from pipeline.theory.truncation import Selection, hard_moments, soft_moments

SHARES = [(0.95, 0.0002), (0.5, 0.09), (0.025, 0.675), (0.0, 0.3), (0.4, 0.0), (0.2, 0.2)]


@pytest.mark.parametrize(("r1", "r2"), SHARES)
def test_hard_moments_are_those_of_the_truncated_normal(r1: float, r2: float) -> None:
    oracle = stats.truncnorm(stats.norm.ppf(r1), stats.norm.isf(r2))
    moments = hard_moments(Selection(r1, r2))
    assert moments.shift == pytest.approx(oracle.mean(), rel=1e-7, abs=1e-12)
    assert moments.variance == pytest.approx(oracle.var(), rel=1e-7)


def test_without_truncation_nothing_changes() -> None:
    assert hard_moments(Selection(0.0, 0.0)) == (0.0, 1.0, 1.0)
    assert soft_moments(Selection(0.0, 0.0, rate=3.0), 0.5) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize("rate", [np.inf, 2.0])
def test_swapping_the_shares_mirrors_the_shift(rate: float) -> None:
    moments = soft_moments if np.isfinite(rate) else lambda selection, sigma: hard_moments(selection)
    right, left = moments(Selection(0.6, 0.1, rate), 0.7), moments(Selection(0.1, 0.6, rate), 0.7)
    assert right.shift == pytest.approx(-left.shift)
    assert right.shift > 0
    assert right.variance == pytest.approx(left.variance)


def test_a_sliver_has_the_variance_of_a_uniform_distribution() -> None:
    kept = 1e-6
    width = kept / stats.norm.pdf(stats.norm.ppf(0.7))
    moments = hard_moments(Selection(0.7, 0.3 - kept))
    assert moments.variance == pytest.approx(width**2 / 12, rel=1e-4)


@pytest.mark.parametrize(("r1", "r2"), SHARES)
@pytest.mark.parametrize(("rate", "sigma"), [(0.1, 0.27), (10.0, 0.27), (10.0, 2.0)])
def test_soft_moments_agree_with_quadrature(r1: float, r2: float, rate: float, sigma: float) -> None:
    low, high = stats.norm.ppf(r1), stats.norm.isf(r2)

    def weight(z: float) -> float:
        return float(stats.norm.pdf(z) * np.exp(-rate * sigma * max(low - z, z - high, 0.0)))

    breaks = [z for z in (low, high) if np.isfinite(z)]
    mass, first, second = (
        integrate.quad(lambda z, n=n: z**n * weight(z), -12, 12, points=breaks, limit=200)[0] for n in range(3)
    )
    moments = soft_moments(Selection(r1, r2, rate), sigma)
    assert moments.share == pytest.approx(mass, rel=1e-7)
    assert moments.shift == pytest.approx(first / mass, abs=1e-7)
    assert moments.variance == pytest.approx(second / mass - (first / mass) ** 2, rel=1e-6)


def test_a_steep_soft_truncation_is_a_hard_one() -> None:
    hard, steep = hard_moments(Selection(0.8, 0.05)), soft_moments(Selection(0.8, 0.05, rate=1e5), 1.0)
    np.testing.assert_allclose(steep, hard, rtol=1e-3)


def test_arrays_of_shares_broadcast() -> None:
    together = hard_moments(Selection(np.array([[0.1], [0.3]]), np.array([0.0, 0.2, 0.6])))
    assert together.shift.shape == (2, 3)
    assert together.variance[1, 2] == hard_moments(Selection(0.3, 0.6)).variance


@pytest.mark.parametrize(("r1", "r2", "rate"), [(-0.1, 0.2, 1.0), (0.5, 0.5, 1.0), (0.9, 0.2, 1.0), (0.1, 0.1, 0.0)])
def test_a_selection_that_cannot_be_is_refused(r1: float, r2: float, rate: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Selection(r1, r2, rate)


def test_rates_may_differ_but_not_in_kind() -> None:
    together = soft_moments(Selection(0.3, 0.1, np.array([2.0, 9.0])), 0.5)
    assert together.shift[1] == soft_moments(Selection(0.3, 0.1, 9.0), 0.5).shift
    with pytest.raises(ValueError, match="all rates must be finite or none"):
        Selection(0.3, 0.1, np.array([2.0, np.inf]))
