"""The fit finds what can be found, says how sure it is, and forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.theory.fit import fit_power
from pipeline.theory.forecast import forecast_power, score
from pipeline.theory.recursion import Trait, trajectory
from pipeline.theory.settings import PAPER_SELECTION, PAPER_TRAIT
from pipeline.theory.truncation import Selection

HIGH, MEDIUM, LOW = PAPER_SELECTION.values()


def _powers(selection: Selection, trait: Trait = PAPER_TRAIT, last: int = 6, noise: float = 0.0, seed: int = 0) -> list[float]:
    """The model's mean over k = 0..last, with relative noise after k = 0, which is exact by definition."""
    powers = trajectory(selection, trait, last).mean
    powers[1:] *= 1 + noise * np.random.default_rng(seed).standard_normal(last)
    return powers.tolist()


@pytest.mark.parametrize("selection", [HIGH, MEDIUM], ids=["high", "medium"])
def test_parameters_come_back_from_an_exact_curve(selection: Selection) -> None:
    fit = fit_power(_powers(selection), sigma_G0=0.056)
    assert fit.r1 == pytest.approx(selection.r1, rel=0.02)
    assert fit.r2 == pytest.approx(selection.r2, rel=0.1)
    assert fit.sigma_E == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize(
    ("selection", "trait"), [(HIGH, PAPER_TRAIT), (LOW, Trait(1.0, 0.056, 0.25))], ids=["rising", "falling"]
)
@pytest.mark.parametrize("seed", range(3))
def test_direction_drift_and_curve_come_back_through_noise(selection: Selection, trait: Trait, seed: int) -> None:
    truth = trajectory(selection, trait, 6).mean
    fit = fit_power(_powers(selection, trait, noise=0.01, seed=seed), sigma_G0=0.056)
    assert np.sign(fit.r1 - fit.r2) == np.sign(selection.r1 - selection.r2)
    assert fit.drift == pytest.approx(np.diff(trajectory(selection, trait, 200).mean)[-1], rel=0.15)
    np.testing.assert_allclose(fit.curve, truth, atol=0.03 * truth.max())


def test_bands_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = trajectory(MEDIUM, PAPER_TRAIT, 6).mean
    held = []
    for seed in range(12):
        fit = fit_power(_powers(MEDIUM, noise=0.02, seed=seed), sigma_G0=0.056)
        held.append((np.asarray(fit.low[1:]) <= truth[1:]) & (truth[1:] <= np.asarray(fit.high[1:])))
    assert 0.85 < np.mean(held) <= 1.0


def test_what_cannot_be_told_has_a_wide_interval() -> None:
    """Hardly any movement: a balanced, a weak and a narrow selection look alike, but the drift is known to be small."""
    fit = fit_power([0.0500, 0.0502, 0.0501, 0.0503, 0.0502, 0.0505, 0.0504])
    low, high = fit.intervals["sigma_E"]
    assert high / low > 10
    assert max(np.abs(fit.intervals["drift"])) < 0.002


def test_mirrored_powers_swap_the_shares() -> None:
    up = np.asarray(_powers(MEDIUM, Trait(1.0, 0.056, 0.25), noise=0.002))
    rising, falling = fit_power(up.tolist(), sigma_G0=0.056), fit_power((2.0 - up).tolist(), sigma_G0=0.056)
    assert rising.drift == pytest.approx(-falling.drift, rel=1e-3)
    assert rising.r1 == pytest.approx(falling.r2, rel=1e-2)


def test_units_of_the_power_do_not_matter() -> None:
    powers = _powers(HIGH, noise=0.02)
    fit, scaled = fit_power(powers), fit_power([1000 * power for power in powers])
    assert scaled.r1 == pytest.approx(fit.r1, rel=1e-4)
    assert scaled.sigma_E == pytest.approx(1000 * fit.sigma_E, rel=1e-4)


def test_equal_powers_give_equal_fits() -> None:
    powers = _powers(HIGH, noise=0.05)
    assert fit_power(powers) == fit_power(powers)


def test_the_band_starts_at_the_first_power_which_is_given() -> None:
    fit = fit_power(_powers(HIGH, noise=0.02))
    assert fit.low[0] == fit.curve[0] == fit.high[0] == 0.027


@pytest.mark.parametrize("powers", [[], [0.1], [0.1, 0.2, 0.3]], ids=len)
def test_fewer_than_three_iterations_are_refused(powers: list[float]) -> None:
    with pytest.raises(UserError, match="at least 3 iterations"):
        fit_power(powers)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_values_that_are_no_powers_are_refused(wrong: float) -> None:
    with pytest.raises(UserError, match="above 0"):
        fit_power([0.1, 0.2, wrong, 0.3])
    with pytest.raises(UserError, match="sigma_G0"):
        fit_power([0.1, 0.2, 0.25, 0.3], sigma_G0=wrong)


def test_a_forecast_of_an_exact_chain_comes_true() -> None:
    powers = _powers(HIGH, last=9)
    forecast = forecast_power(powers[:7], until=9, sigma_G0=0.056)
    assert forecast.iterations == [7, 8, 9]
    np.testing.assert_allclose(forecast.power, powers[7:], rtol=1e-3)


def test_a_noisy_chain_stays_within_its_forecasts_band_which_widens() -> None:
    powers = _powers(MEDIUM, last=9, noise=0.02, seed=4)
    forecast = forecast_power(powers[:6], until=9, sigma_G0=0.056)
    result = score(forecast, powers[5], powers[6:])
    assert result.covered == 1.0
    assert result.error < result.unchanged / 4
    assert np.all(np.diff(np.subtract(forecast.high, forecast.low)) > 0)


def test_later_iterations_do_not_leak_into_a_forecast() -> None:
    known = _powers(HIGH, last=4)
    assert forecast_power(known, 6).power == forecast_power(known, 9).power[:2]


def test_errors_are_root_mean_squares() -> None:
    forecast = forecast_power(_powers(HIGH, last=4), 6)
    low, high = forecast.low[0], forecast.high[1] + 1.0
    result = score(forecast, before=0.0, happened=[low, high])
    assert result.covered == 0.5
    assert result.unchanged == pytest.approx(np.hypot(low, high) / np.sqrt(2))


def test_a_forecast_of_the_past_is_refused() -> None:
    with pytest.raises(UserError, match="reach beyond"):
        forecast_power([0.1, 0.2, 0.3, 0.4], until=3)
