"""The fit finds what can be found, says how sure it is, and forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.theory.fit import PowerFit, fit_power
from pipeline.theory.fit_problem import Variant
from pipeline.theory.forecast import forecast_power, score
from pipeline.theory.paper_values import PAPER_SELECTION, PAPER_TRAIT
from pipeline.theory.recursion import Trait, trajectory
from pipeline.theory.truncation import Selection

HIGH, MEDIUM, LOW = PAPER_SELECTION.values()
MEASURED = Trait(0.05, 0.02, 0.05)
"""Of the size that the miniature's runs have."""


def _powers(selection: Selection, trait: Trait = PAPER_TRAIT, last: int = 6, noise: float = 0.0, seed: int = 0) -> list[float]:
    """The model's mean over k = 0..last, with noise of that share of the first power."""
    powers = trajectory(selection, trait, last).mean
    return (powers + noise * powers[0] * np.random.default_rng(seed).standard_normal(last + 1)).tolist()


def _inside(low: list[float], values: np.ndarray, high: list[float]) -> np.ndarray:
    return (np.asarray(low) <= values) & (values <= np.asarray(high))


@pytest.mark.parametrize("selection", [HIGH, MEDIUM], ids=["high", "medium"])
def test_parameters_come_back_from_an_exact_curve(selection: Selection) -> None:
    fit = fit_power([_powers(selection)], sigma_G0=0.056)
    assert fit.r1 == pytest.approx(selection.r1, rel=0.02)
    assert fit.r2 == pytest.approx(selection.r2, rel=0.1)
    assert fit.sigma_E == pytest.approx(0.25, rel=0.02)
    assert fit.mu_0 == pytest.approx(0.027, rel=0.01)


@pytest.mark.parametrize(("mutation", "tail"), [(1.0, 0.0), (0.0, 0.4), (0.4, 0.4)], ids=["mutation", "soft", "both"])
def test_parameters_come_back_under_the_variant_that_made_the_curve_and_not_under_another(mutation: float, tail: float) -> None:
    made = Selection(0.8, 0.02, 1.0 / (tail * 0.05) if tail else np.inf)
    powers = trajectory(made, Trait(0.05, 0.02, 0.05, mutation * 0.05), 8).mean.tolist()
    fit, other = (fit_power([powers], 0.02, variant) for variant in (Variant(mutation, tail), Variant()))
    assert (fit.r1, fit.r2, fit.sigma_E) == pytest.approx((0.8, 0.02, 0.05), rel=0.1)
    assert (other.r1, other.r2, other.sigma_E) != pytest.approx((0.8, 0.02, 0.05), rel=0.3)


@pytest.mark.parametrize(
    ("selection", "trait"), [(HIGH, PAPER_TRAIT), (LOW, Trait(1.0, 0.056, 0.25))], ids=["rising", "falling"]
)
@pytest.mark.parametrize("seed", range(2))
def test_direction_response_and_curve_come_back_through_noise(selection: Selection, trait: Trait, seed: int) -> None:
    truth = trajectory(selection, trait, 6).mean
    fit = fit_power([_powers(selection, trait, noise=0.01, seed=seed)], sigma_G0=0.056)
    assert np.sign(fit.r1 - fit.r2) == np.sign(selection.r1 - selection.r2)
    assert fit.response == pytest.approx(np.diff(trajectory(selection, trait, 200).mean)[-1], rel=0.15)
    np.testing.assert_allclose(fit.curve, truth, atol=0.03 * truth.max())


COUNTS = pytest.mark.parametrize("settings", [40, pytest.param(300, marks=pytest.mark.slow)])
"""How many settings are simulated: a share counted n times has a standard error of sqrt(0.05 * 0.95 / n); bands may be wide by
a few percent, but not narrow."""


@COUNTS
@pytest.mark.parametrize(
    ("selection", "between"),
    [(Selection(0.75, 0.2), 0.0), (Selection(0.2, 0.6), 0.0), (Selection(0.6, 0.3), 0.06)],
    ids=["one rising run", "one falling run", "three runs of different levels"],
)
def test_95_percent_bands_hold_the_truth_in_about_95_percent_of_simulated_settings(
    selection: Selection, between: float, settings: int
) -> None:
    runs = 3 if between else 1
    truth = trajectory(selection, MEASURED, 5).mean
    mean, single = [], []
    for seed in range(settings):
        rng = np.random.default_rng(seed)
        levels = between * truth[0] * rng.standard_normal((runs + 1, 1))
        measured = truth + levels + 0.03 * truth[0] * rng.standard_normal((runs + 1, 6))
        fit = fit_power(measured[:runs].tolist(), MEASURED.sigma_G0)
        mean.append(_inside(fit.low, truth, fit.high).mean())
        single.append(_inside(fit.single_low, measured[runs], fit.single_high).mean())
    error = np.sqrt(0.05 * 0.95 / settings)
    assert 0.95 - 3 * error < np.mean(mean) < 0.99
    assert 0.95 - 3 * error < np.mean(single) < 0.998


def test_what_cannot_be_told_has_a_wide_interval() -> None:
    """Hardly any movement: a balanced, a weak and a narrow selection look alike, but the response is known to be small."""
    fit = fit_power([[0.0500, 0.0502, 0.0501, 0.0503, 0.0502, 0.0505, 0.0504]])
    low, high = fit.intervals["sigma_E"]
    assert high / low > 10
    assert max(np.abs(fit.intervals["response"])) < 0.002


def test_mirrored_powers_swap_the_shares() -> None:
    up = np.asarray(_powers(MEDIUM, Trait(1.0, 0.056, 0.25), noise=0.002))
    rising, falling = fit_power([up.tolist()], sigma_G0=0.056), fit_power([(2.0 * up[0] - up).tolist()], sigma_G0=0.056)
    assert rising.response == pytest.approx(-falling.response, rel=1e-3)
    assert rising.r1 == pytest.approx(falling.r2, rel=1e-2)


def test_units_of_the_power_do_not_matter() -> None:
    powers = _powers(HIGH, noise=0.02)
    fit, scaled = fit_power([powers]), fit_power([[1000 * power for power in powers]])
    assert scaled.r1 == pytest.approx(fit.r1, rel=1e-4)
    assert (scaled.sigma_E, scaled.noise, scaled.high[3]) == pytest.approx(
        (1000 * fit.sigma_E, 1000 * fit.noise, 1000 * fit.high[3]), rel=1e-4
    )


def test_equal_powers_give_equal_fits() -> None:
    powers = [_powers(HIGH, noise=0.05)]
    assert fit_power(powers) == fit_power(powers)


def _three(levels: list[float]) -> PowerFit:
    return fit_power(
        [[level + power for power in _powers(MEDIUM, noise=0.05, seed=i)] for i, level in enumerate(levels)], 0.056
    )


def test_runs_share_the_curves_shape_whatever_their_levels() -> None:
    same, apart = _three([0.0, 0.0, 0.0]), _three([-0.01, 0.0, 0.01])
    assert np.diff(apart.curve) == pytest.approx(np.diff(same.curve), rel=1e-4)
    assert (apart.r1, apart.r2) == pytest.approx((same.r1, same.r2), rel=1e-3)
    assert apart.noise == pytest.approx(same.noise, rel=1e-3)
    assert apart.between is not None and same.between is not None and apart.between > same.between


def test_more_runs_narrow_the_band_and_one_has_no_spread_between_runs() -> None:
    powers = [_powers(MEDIUM, last=5, noise=0.1, seed=seed) for seed in range(8)]
    one, eight = fit_power(powers[:1], 0.056), fit_power(powers, 0.056)
    assert np.mean(np.subtract(eight.high, eight.low)) < np.mean(np.subtract(one.high, one.low)) / 2
    assert one.between is None


def test_a_run_that_ended_early_counts_as_far_as_it_goes() -> None:
    whole = _powers(MEDIUM, last=8)
    fit = fit_power([whole, whole[:4]], 0.056)
    np.testing.assert_allclose(fit.curve, whole, rtol=1e-2)


@pytest.mark.parametrize("powers", [[], [0.1], [0.1, 0.2, 0.3]], ids=len)
def test_fewer_than_three_iterations_are_refused(powers: list[float]) -> None:
    with pytest.raises(UserError, match="at least 3 iterations"):
        fit_power([[0.1, 0.2, 0.3, 0.4], powers])
    with pytest.raises(UserError, match="at least one run"):
        fit_power([])


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_values_that_are_no_powers_are_refused(wrong: float) -> None:
    with pytest.raises(UserError, match="above 0"):
        fit_power([[0.1, 0.2, wrong, 0.3]])
    with pytest.raises(UserError, match="sigma_G0"):
        fit_power([[0.1, 0.2, 0.25, 0.3]], sigma_G0=wrong)


def test_a_forecast_of_an_exact_chain_comes_true() -> None:
    powers = _powers(HIGH, last=9)
    forecast = forecast_power([powers[:7]], until=9, sigma_G0=0.056)
    assert forecast.iterations == [7, 8, 9]
    np.testing.assert_allclose(forecast.power, powers[7:], rtol=1e-3)


@COUNTS
def test_95_percent_forecasts_come_true_in_about_95_percent_of_simulated_chains(settings: int) -> None:
    held = []
    for seed in range(settings):
        chain = _powers(Selection(0.75, 0.2), MEASURED, last=9, noise=0.03, seed=seed)
        forecast = forecast_power([chain[:7]], until=9, sigma_G0=MEASURED.sigma_G0)
        held.append(score(forecast, chain[6], chain[7:]).covered)
        assert np.all(np.diff(np.subtract(forecast.high, forecast.low)) > 0)
    assert 0.95 - 3 * np.sqrt(0.05 * 0.95 / settings) < np.mean(held) < 0.995


def test_several_runs_forecast_their_mean() -> None:
    chains = [[level + power for power in _powers(MEDIUM, last=9, noise=0.02, seed=i)] for i, level in enumerate((0.0, 0.05))]
    forecast = forecast_power([chain[:7] for chain in chains], until=9, sigma_G0=0.056)
    assert np.all(_inside(forecast.low, np.mean(chains, axis=0)[7:], forecast.high))
    assert np.mean(chains[0][7:]) < forecast.low[0]


def test_later_iterations_do_not_leak_into_a_forecast() -> None:
    known = [_powers(HIGH, last=4)]
    assert forecast_power(known, 6).power == forecast_power(known, 9).power[:2]


def test_errors_are_root_mean_squares() -> None:
    forecast = forecast_power([_powers(HIGH, last=4)], 6)
    low, high = forecast.low[0], forecast.high[1] + 1.0
    result = score(forecast, before=0.0, happened=[low, high])
    assert result.covered == 0.5
    assert result.unchanged == pytest.approx(np.hypot(low, high) / np.sqrt(2))


def test_a_forecast_of_the_past_is_refused() -> None:
    with pytest.raises(UserError, match="reach beyond"):
        forecast_power([[0.1, 0.2, 0.3, 0.4]], until=3)
