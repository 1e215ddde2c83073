"""The model's path and its end, against Theorem 1, simulated individuals and limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.theory.paper_values import PAPER_REDIFINE_SELECTION, PAPER_REDIFINE_TRAIT, PAPER_SELECTION, PAPER_TRAIT
from pipeline.theory.population import Inheritance, Populations, simulate
from pipeline.theory.recursion import Trait, Trajectory, heritability, response_limit, trajectory, variance_limit
from pipeline.theory.truncation import Selection

SETTINGS = {name: (selection, PAPER_TRAIT) for name, selection in PAPER_SELECTION.items()}
SETTINGS |= {name: (selection, PAPER_REDIFINE_TRAIT) for name, selection in PAPER_REDIFINE_SELECTION.items()}
HARD = PAPER_SELECTION.values()


def _c1_c2(selection: Selection) -> tuple[float, float]:
    """The paper's constants from scipy's truncated normal."""
    oracle = stats.truncnorm(stats.norm.ppf(selection.r1), stats.norm.isf(selection.r2))
    return abs(float(oracle.mean())), float(oracle.var())


@pytest.mark.parametrize("selection", HARD, ids=PAPER_SELECTION)
def test_response_per_iteration_is_theorem_1_by_iteration_200(selection: Selection) -> None:
    c1, c2 = _c1_c2(selection)
    expected = np.sign(selection.r1 - selection.r2) * c1 * c2 / np.sqrt(1 - c2) * 0.25
    steps = np.diff(trajectory(selection, PAPER_TRAIT, 200).mean)
    assert steps[-1] == pytest.approx(expected, abs=1e-6)
    assert response_limit(selection, 0.25) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("selection", HARD, ids=PAPER_SELECTION)
def test_variance_converges_geometrically_to_its_limit(selection: Selection) -> None:
    _, c2 = _c1_c2(selection)
    limit = 0.25**2 / (1 - c2)
    excess = trajectory(selection, PAPER_TRAIT, 200).sigma_P ** 2 - limit
    np.testing.assert_allclose(excess[1:5], c2 * excess[:4], rtol=1e-6)  # eq. 12
    assert excess[-1] == pytest.approx(0.0, abs=1e-15)
    assert variance_limit(selection, 0.25) == pytest.approx(limit)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_limits_are_where_the_path_ends(name: str) -> None:
    selection, trait = SETTINGS[name]
    path = trajectory(selection, trait, 2000)
    assert path.sigma_P[-1] ** 2 == pytest.approx(variance_limit(selection, trait.sigma_E), rel=1e-9)
    assert np.diff(path.mean)[-1] == pytest.approx(response_limit(selection, trait.sigma_E, trait.sigma_M), abs=1e-9)


def test_high_guidance_moves_up_and_low_guidance_down() -> None:
    high, medium, low = (trajectory(selection, PAPER_TRAIT, 6).mean for selection in HARD)
    assert high[-1] > medium[-1] > 0.027 > low[-1]


def test_without_selection_the_mean_stays_and_every_iteration_adds_the_environment() -> None:
    path = trajectory(Selection(0.0, 0.0), Trait(0.3, 0.1, 0.2), 5)
    np.testing.assert_allclose(path.mean, 0.3)
    np.testing.assert_allclose(path.sigma_P**2, 0.1**2 + 0.2**2 * np.arange(1, 7))
    assert variance_limit(Selection(0.0, 0.0), 0.2) == np.inf


@pytest.mark.parametrize("rate", [np.inf, 5.0], ids=["hard", "soft"])
def test_swapping_the_shares_mirrors_the_path(rate: float) -> None:
    up = trajectory(Selection(0.7, 0.1, rate), PAPER_REDIFINE_TRAIT, 6)
    down = trajectory(Selection(0.1, 0.7, rate), PAPER_REDIFINE_TRAIT, 6)
    np.testing.assert_allclose(up.mean - 0.027, 0.027 - down.mean, atol=1e-15)
    np.testing.assert_allclose(up.sigma_P, down.sigma_P)


def test_mutation_slows_the_mean_and_leaves_the_variance() -> None:
    selection = Selection(0.95, 0.0002)
    plain, mutated = trajectory(selection, PAPER_TRAIT, 6), trajectory(selection, PAPER_REDIFINE_TRAIT, 6)
    np.testing.assert_array_equal(plain.sigma_P, mutated.sigma_P)
    slower = plain.sigma_P[:-1] ** 2 / (plain.sigma_P[:-1] ** 2 + 0.1**2)  # eq. 16 over eq. 5
    np.testing.assert_allclose(np.diff(mutated.mean), slower * np.diff(plain.mean))


def test_arrays_of_parameters_give_the_paths_of_each() -> None:
    together = trajectory(Selection(np.array([0.2, 0.6]), 0.1), Trait(1.0, 0.3, np.array([0.1, 0.4])), 4)
    alone = trajectory(Selection(0.6, 0.1), Trait(1.0, 0.3, 0.4), 4)
    np.testing.assert_allclose(together.mean[1], alone.mean, rtol=1e-14)


def _deviations(found: Populations, path: Trajectory) -> np.ndarray:
    """How many of its own standard errors the simulation lies from the closed form: mean and variance."""
    mean, mean_error = found.estimate("mean")
    variance, variance_error = found.estimate("variance_P")
    return np.abs([(mean - path.mean) / mean_error, (variance - path.sigma_P**2) / variance_error])


@pytest.mark.parametrize("name", SETTINGS)
def test_individuals_follow_the_closed_form_within_their_standard_error(name: str) -> None:
    selection, trait = SETTINGS[name]
    found = simulate(selection, trait, iterations=6, size=10_000, replicates=24, seed=5)
    assert _deviations(found, trajectory(selection, trait, 6)).max() < 4.5


@pytest.mark.parametrize("inheritance", ["gaussian", "copied"])
def test_one_iteration_needs_no_gaussian_children(inheritance: Inheritance) -> None:
    """From a Gaussian population the first response is exact, however the children's deviations are drawn."""
    selection = Selection(0.6, 0.05)
    found = simulate(selection, PAPER_TRAIT, 1, size=10_000, replicates=24, seed=6, inheritance=inheritance)
    assert _deviations(found, trajectory(selection, PAPER_TRAIT, 1)).max() < 4.5


def _regression_of_offspring_on_mutated_parents(trait: Trait, seed: int, size: int) -> float:
    """h^2 as breeders measure it: the slope of a child's genetic value against what its parent showed, one pair a draw."""
    rng = np.random.default_rng(seed)
    genetic = rng.normal(0.0, float(trait.sigma_G0), size)
    shown = genetic + rng.normal(0.0, float(trait.sigma_E), size) + rng.normal(0.0, float(trait.sigma_M), size)
    return float(stats.linregress(shown, genetic).slope)


@pytest.mark.parametrize("sigma_M", [0.0, 0.1, 0.4])
def test_eq_16_is_the_regression_on_parents_seen_through_mutation(sigma_M: float) -> None:
    trait = Trait(0.0, 0.2, 0.25, sigma_M)
    slopes = [_regression_of_offspring_on_mutated_parents(trait, seed, 50_000) for seed in range(12)]
    error = np.std(slopes, ddof=1) / np.sqrt(len(slopes))
    assert heritability(0.2, 0.25, sigma_M) == pytest.approx(np.mean(slopes), abs=4.5 * error)


@pytest.mark.parametrize("rate", [np.inf, 10.0], ids=["hard", "soft"])
def test_individuals_that_resemble_mutated_parents_follow_eq_16(rate: float) -> None:
    """The simulation knows no regression: a child's genes are those of who looks like its parent after mutation."""
    selection, trait = Selection(0.7, 0.05, rate), Trait(0.0, 0.2, 0.1, 0.3)
    found = simulate(selection, trait, iterations=4, size=10_000, replicates=24, seed=9)
    assert _deviations(found, trajectory(selection, trait, 4)).max() < 4.5
    without = trajectory(selection, Trait(0.0, 0.2, 0.1), 4)
    mean, error = found.estimate("mean")
    assert (without.mean[-1] - mean[-1]) / error[-1] > 50


def test_a_simulation_is_a_function_of_its_seed() -> None:
    first, again, other = (simulate(Selection(0.5, 0.1), PAPER_TRAIT, 2, 200, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.mean, again.mean)
    assert not np.array_equal(first.mean, other.mean)


def test_a_population_of_which_none_is_left_is_refused() -> None:
    with pytest.raises(ValueError, match="none is left"):
        simulate(Selection(0.5, 0.49), PAPER_TRAIT, 1, size=10, replicates=2, seed=0)


def test_negative_deviations_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma_E"):
        Trait(0.0, 0.1, -0.1)
