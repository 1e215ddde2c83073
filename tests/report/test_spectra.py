import numpy as np
import pytest
from charts.drawings import parsed, points

from pipeline.report.spectra import forecast_figures, power_figure
from pipeline.theory.recursion import Trait, trajectory
from pipeline.theory.truncation import Selection


@pytest.fixture(scope="module")
def selected() -> list[float]:
    """S_0..S_6 of images that were selected as the theory has it: the powerless 30 % and the powerful 2 % discarded."""
    return list(trajectory(Selection(0.30, 0.02), Trait(0.03, 0.06, 0.1), 6).mean)


def test_a_chain_that_follows_the_theory_is_met_by_the_fitted_curve(selected: list[float]) -> None:
    measured, fitted, _ = (points(line) for line in parsed(power_figure(selected).svg).iter("polyline"))
    assert (len(measured), len(fitted)) == (7, 6)
    assert np.abs(np.subtract(measured[1:], fitted)).max() < 3.0


def test_the_band_encloses_the_curve(selected: list[float]) -> None:
    noisy = [power * (1 + 0.05 * (-1) ** k) for k, power in enumerate(selected)]
    svg = parsed(power_figure(noisy).svg)
    fitted, (band,) = points(list(svg.iter("polyline"))[1]), [points(band) for band in svg.iter("polygon")]
    low, high = band[:6], band[:5:-1]
    assert all(low_y >= y >= high_y for (_, low_y), (_, y), (_, high_y) in zip(low, fitted, high, strict=True))
    assert low[5][1] - high[5][1] > 2.0


def test_the_power_is_relative_to_that_of_the_real_images() -> None:
    readout = parsed(power_figure([0.5, 0.25]).svg).find("svg")
    assert readout is not None and '"points":[[0.0,1.0],[1.0,0.5]]' in str(readout.get("data-chart"))


@pytest.mark.parametrize(
    "powers", [[0.5, 0.6], [0.5, 0.6, 0.7], [0.5, 0.6, 0.7, 0.8], [0.5, 0.0, 0.4, 0.3, 0.2], [0.0, 0.0, 0.0, 0.0]]
)
def test_what_cannot_be_fitted_is_shown_alone(powers: list[float]) -> None:
    figure = power_figure(powers)
    assert "fitted model" not in figure.key
    assert not list(parsed(figure.svg).iter("polygon"))


def test_a_chain_that_follows_the_theory_goes_where_the_forecast_said(selected: list[float]) -> None:
    (figure,) = forecast_figures(selected)
    known, happened, forecast = (points(line) for line in parsed(figure.svg).iter("polyline"))
    assert (len(known), len(happened), len(forecast)) == (4, 2, 3)
    assert forecast[0] == known[-1]
    assert np.abs(np.subtract(forecast[1:], happened)).max() < 3.0


def test_the_band_lies_around_the_forecast_and_opens(selected: list[float]) -> None:
    (figure,) = forecast_figures([power * (1 + 0.02 * (-1) ** k) for k, power in enumerate(selected)])
    svg = parsed(figure.svg)
    forecast, band = points(list(svg.iter("polyline"))[2]), points(next(iter(svg.iter("polygon"))))
    low, high = band[:3], band[:2:-1]
    assert all(low_y >= y >= high_y for (_, low_y), (_, y), (_, high_y) in zip(low, forecast, high, strict=True))
    assert low[0][1] == high[0][1] < low[2][1]


def test_the_note_says_which_iterations_it_knew() -> None:
    (figure,) = forecast_figures(trajectory(Selection(0.30, 0.02), Trait(0.03, 0.06, 0.1), 12).mean.tolist())
    assert "k = 1 to 8" in figure.note


@pytest.mark.parametrize("powers", [[0.5, 0.6], [0.5, 0.6, 0.7, 0.8, 0.9], [0.5, 0.0, 0.4, 0.3, 0.2, 0.1]])
def test_too_short_a_chain_and_one_without_power_have_no_forecast(powers: list[float]) -> None:
    assert forecast_figures(powers) == []
