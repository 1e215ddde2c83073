"""Genetic drift, without selection: the closed form against simulated and enumerated populations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline.theory.population import half_life, simulate, variance_left, wright_fisher
from pipeline.theory.recursion import Trait
from pipeline.theory.truncation import Selection


def test_one_iteration_loses_what_all_possible_draws_lose_on_average() -> None:
    """Brute force: all 4^4 ways in which four children pick parents."""
    parents = np.array([0.3, -1.0, 2.0, 0.7])
    children = np.array([parents[list(draw)].var() for draw in itertools.product(range(4), repeat=4)])
    assert children.mean() / parents.var() == pytest.approx(variance_left(4, 1)[1])


@pytest.mark.parametrize("size", [10, 50])
def test_simulated_populations_lose_variance_as_the_closed_form_says(size: int) -> None:
    sample = wright_fisher(size, 20, replicates=4000, seed=3)
    mean, error = sample.estimate("variance_G")
    expected = (1 - 1 / size) * variance_left(size, 20)  # of the sampled first population
    assert np.abs((mean - expected) / error).max() < 4.5


def test_what_is_lost_within_is_found_between_populations() -> None:
    sample = wright_fisher(10, 20, replicates=4000, seed=4)
    between, within = sample.mean.var(axis=0), sample.variance_G.mean(axis=0)
    np.testing.assert_allclose(between + within, 1.0, rtol=0.1)


def test_drawing_from_a_fitted_normal_distribution_loses_the_same() -> None:
    sample = simulate(Selection(0.0, 0.0), Trait(0.0, 1.0, 0.0), 10, 10, 4000, seed=8, inheritance="gaussian")
    mean, error = sample.estimate("variance_G")
    assert np.abs((mean - 0.9 * variance_left(10, 10)) / error).max() < 4.5


def test_a_population_ends_as_copies_of_one_ancestor() -> None:
    sample = wright_fisher(8, 200, replicates=20, seed=1)
    np.testing.assert_array_equal(sample.variance_G[:, -1] < 1e-25, True)


def test_half_of_the_variance_is_left_at_the_half_life() -> None:
    assert half_life(2) == pytest.approx(1.0)
    assert (1 - 1 / 1000) ** half_life(1000) == pytest.approx(0.5)
