"""What the theory, shown the first two thirds of a chain, would have said of the rest (section 4)."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.charts.lines import Intervals, Series
from pipeline.charts.numbers import short
from pipeline.report.figures import ACCENT, QUIET, Figure, against_k
from pipeline.theory.forecast import Forecast, forecast_power, score
from pipeline.theory.power_table import FEWEST_ITERATIONS

FORECAST_COLOUR = "var(--fit)"


def forecast_figures(measured: Sequence[float], deviation: float | None = None) -> list[Figure]:
    """Draw S_1..S_J of S_0..S_K, the forecast of S_{J+1}..S_K from them, and what happened; nothing for too short a chain.

    `deviation` is the deviation of S over the images of D_1. S_0, of real images, is the unit and no part of the forecast.
    """
    last = len(measured) - 1
    known = last - max(last // 3, 1)
    if known <= FEWEST_ITERATIONS or min(measured) <= 0:
        return []
    forecast = forecast_power([measured[1 : known + 1]], last - 1, deviation or None)
    return [_figure(forecast, [power / measured[0] for power in measured], known, measured[0])]


def _figure(forecast: Forecast, ratios: Sequence[float], known: int, unit: float) -> Figure:
    """Draw the forecast; `ratios` are S_k / S_0 for k = 0..K, and its iterations count from k = 1."""
    later = [(k + 1, *(value / unit for value in ends)) for k, *ends in zip(
        forecast.iterations, forecast.power, forecast.low, forecast.high, strict=True
    )]  # fmt: skip
    interval = [(known, ratios[known], ratios[known]), *((k, low, high) for k, _, low, high in later)]
    return against_k(
        "Forecast of the high-frequency power",
        _note(forecast, ratios, known, unit),
        [
            Series("known", list(enumerate(ratios[1 : known + 1], 1)), QUIET, markers=True),
            Series("what then happened", list(enumerate(ratios[known + 1 :], known + 1)), ACCENT, markers=True),
            Series(
                "forecast", [(known, ratios[known]), *((k, power) for k, power, _, _ in later)], FORECAST_COLOUR, dashed=True
            ),
        ],
        from_zero=True,
        bands=[Intervals(interval, FORECAST_COLOUR)],
        size=(540, 290),
    )


def _note(forecast: Forecast, ratios: Sequence[float], known: int, unit: float) -> str:
    result = score(forecast, unit * ratios[known], [unit * ratio for ratio in ratios[known + 1 :]])
    return (
        f"The selection model fitted to k = 1 to {known} alone, and what it says of the iterations after them, with its 95 % "
        f"prediction band. It erred by {short(result.error / unit)} (root mean square); had one said “it stays as it is at "
        f"k = {known}”, by {short(result.unchanged / unit)}."
    )
