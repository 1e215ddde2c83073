"""The theory's figures as .svg files; equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from markupsafe import Markup

from pipeline.charts.colours import PRINT_COLOURS
from pipeline.charts.lines import Dots, Intervals, LineChart, Point, Series, draw_lines
from pipeline.charts.svg_file import panels
from pipeline.studies.theory.measured_power import MeasuredSetting, mean_over_runs
from pipeline.theory.fit import PowerFit
from pipeline.theory.forecast import Forecast
from pipeline.theory.recursion import Trajectory

_INK, _FIT, _FORECAST = "var(--ink)", PRINT_COLOURS[0], PRINT_COLOURS[3]


@dataclass(frozen=True)
class SimulatedCurve:
    """A setting's closed form, and its simulation: the trait's mean and deviation with their standard errors, [K+1] each."""

    path: Trajectory
    mean: np.ndarray
    mean_error: np.ndarray
    sigma_P: np.ndarray
    sigma_P_error: np.ndarray


def draw_simulations(curves: Mapping[str, SimulatedCurve], title: str) -> str:
    """Draw mean and deviation of the trait over iterations (Fig. 4b, 25): lines the closed form, marks the individuals."""
    named = list(zip(curves.items(), cycle(PRINT_COLOURS), strict=False))
    means = [(name, colour, c.path.mean, c.mean, c.mean_error) for (name, c), colour in named]
    deviations = [(name, colour, c.path.sigma_P, c.sigma_P, c.sigma_P_error) for (name, c), colour in named]
    note = "Lines: closed form; marks: individuals, ± two standard errors"
    drawn = [
        (title, _closed_form_and_simulation(means, "mean of the trait")),
        (note, _closed_form_and_simulation(deviations, "deviation of the trait, σ_P")),
    ]
    return panels(drawn, 2, [Series(name, [], colour, markers=True) for (name, _), colour in named])


def draw_wright_fisher(expected: Mapping[int, np.ndarray], found: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> str:
    """Draw the share of the variance left, by population size N: the closed form, and simulations."""
    named = [(f"N = {size}", colour, expected[size], *found[size]) for size, colour in zip(expected, cycle(PRINT_COLOURS))]
    drawing = _closed_form_and_simulation(named, "share of the variance left", width=640, height=380, from_zero=True)
    title = "No selection. Lines: closed form; marks: simulated, ± two standard errors"
    return panels([(title, drawing)], 1, [Series(name, [], colour, markers=True) for name, colour, *_ in named])


def _closed_form_and_simulation(
    curves: Sequence[tuple[str, str, np.ndarray, np.ndarray, np.ndarray]],
    y_label: str,
    width: int = 480,
    height: int = 340,
    from_zero: bool = False,
) -> Markup:
    """Draw (name, colour, closed form, simulated mean, its standard error) over t; about a dozen marks each."""
    series, errors = [], []
    for name, colour, closed_form, mean, error in curves:
        shown = range(0, len(mean), max(len(mean) // 12, 1))
        series.append(Series(name, list(enumerate(closed_form)), colour))
        series.append(Series(f"{name}, simulated", [(t, mean[t]) for t in shown], colour, markers=True, line=False))
        errors.append(Intervals([(t, mean[t] - 2 * error[t], mean[t] + 2 * error[t]) for t in shown], colour))
    return draw_lines(
        LineChart("iteration t", series, whole_x=True, from_zero=from_zero, width=width, height=height, errors=errors,
                  y_label=y_label)
    )  # fmt: skip


def draw_fits(settings: Sequence[MeasuredSetting], fits: Sequence[PowerFit]) -> str:
    """Draw each setting's measured power, its fitted curve and bands, all in one chart (Fig. 4b, 25).

    Runs are thin marks and their mean is a large one; the lighter band, for single measurements, is drawn of one setting alone.
    """
    lines, bands, dots = [], [], []
    for colour, setting, fit in zip(cycle(PRINT_COLOURS), settings, fits, strict=False):
        if len(settings) == 1:
            bands.append(Intervals(_ends(setting.start, fit.single_low, fit.single_high), colour))
        bands.append(Intervals(_ends(setting.start, fit.low, fit.high), colour))
        measured = [powers[: len(fit.curve)] for powers in setting.powers]
        if len(measured) > 1:
            dots.append(Dots([point for powers in measured for point in enumerate(powers, setting.start)], colour))
        lines.append(Series(f"{setting.name}, fitted", list(enumerate(fit.curve, setting.start)), colour))
        mean = list(enumerate(mean_over_runs(measured), setting.start))
        lines.append(Series(setting.name, mean, colour, markers=True, line=False))
    chart = LineChart("iteration k", lines, whole_x=True, width=700, height=420, bands=bands, dots=dots,
                      y_label="high-frequency power S")  # fmt: skip
    key = [Series(s.name, [], colour, markers=True) for s, colour in zip(settings, cycle(PRINT_COLOURS), strict=False)]
    return panels([(_fit_title(fits), draw_lines(chart))], 1, key)


def _ends(start: int, low: Sequence[float], high: Sequence[float]) -> list[tuple[float, float, float]]:
    return [(k, *ends) for k, ends in enumerate(zip(low, high, strict=True), start)]


def _fit_title(fits: Sequence[PowerFit]) -> str:
    if len(fits) > 1:
        return "Lines: fitted model, with the 95 % confidence band of the mean; marks: measured"
    fit = fits[0]
    shares = f"r₁ = {fit.r1:.2g}, r₂ = {fit.r2:.2g}, σ_E = {fit.sigma_E:.2g}"
    return f"{shares}; bands: 95 % of the mean and of single measurements"


def draw_forecasts(settings: Sequence[MeasuredSetting], forecasts: Sequence[Forecast], known: Sequence[int]) -> str:
    """Draw for each setting the `known` powers, what was predicted from them with its band, and what then happened."""
    drawn = [
        (f"{setting.name}: from k = {setting.start}..{setting.start + count - 1}", _forecast(setting, forecast, count))
        for setting, forecast, count in zip(settings, forecasts, known, strict=False)
    ]
    return panels(drawn, min(len(settings), 3), _forecast_lines([], [], [], []))


def _forecast(setting: MeasuredSetting, forecast: Forecast, known: int) -> Markup:
    points = list(enumerate(mean_over_runs(setting.powers), setting.start))
    curve = list(enumerate(forecast.fit.curve, setting.start))
    later = [setting.start + t for t in forecast.iterations]
    ends = Intervals(list(zip(later, forecast.low, forecast.high, strict=True)), _FORECAST)
    predicted = [curve[-1], *zip(later, forecast.power, strict=True)]
    lines = _forecast_lines(curve, predicted, points[:known], points[known:])
    return draw_lines(
        LineChart("iteration k", lines, whole_x=True, width=520, height=340, bands=[ends], errors=[ends],
                  y_label="high-frequency power S")
    )  # fmt: skip


def _forecast_lines(
    fit: Sequence[Point], predicted: Sequence[Point], known: Sequence[Point], happened: Sequence[Point]
) -> list[Series]:
    return [
        Series("fitted", fit, _FIT),
        Series("forecast, with its 95 % prediction band", predicted, _FORECAST, dashed=True),
        Series("known", known, _INK, markers=True, line=False),
        Series("what then happened", happened, _INK, markers=True, line=False, hollow=True),
    ]
