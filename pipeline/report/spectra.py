"""Spectra over k against D_0's (Fig. 39), and the high-frequency power with the theory's curve (Fig. 4b) and forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.charts.lines import Intervals, Series
from pipeline.charts.numbers import short
from pipeline.report.figures import ACCENT, QUIET, Figure, Points, against_k, line_per_iteration, reference_line
from pipeline.report.finished_chain import FinishedChain
from pipeline.theory.fit import PowerFit, fit_power
from pipeline.theory.fit_problem import FEWEST_ITERATIONS
from pipeline.theory.forecast import Forecast, ForecastScore, backtest

FIT_COLOUR = "var(--fit)"


def spectrum_figures(chain: FinishedChain) -> list[Figure]:
    """Draw radial and angular densities, the high-frequency power and its forecast, and the residuals' radial profile."""
    measured, deviation = powers(chain), chain.iterations[0].metrics["power_spread"]
    power = [power_figure(measured, deviation), *forecast_figures(measured, deviation)]
    return [_radial(chain), _angular(chain), *power, _residual(chain)]


def powers(chain: FinishedChain) -> list[float]:
    """Return S_0..S_K, the mean high-frequency power of D_k (eq. 15)."""
    return [chain.real["power"], *(iteration.metrics["power"] for iteration in chain.iterations)]


def power_figure(measured: list[float], deviation: float | None = None) -> Figure:
    """Draw S_k / S_0, with the fitted model and its band where there are enough iterations; S_k itself where S_0 is 0.

    `deviation` is the deviation of S over the images of D_1. The fit begins at k = 1: the step from real images to the first
    generated ones is no selection among generated images.
    """
    unit = measured[0] if measured[0] > 0 else 1.0
    fitted = len(measured) > FEWEST_ITERATIONS + 1 and min(measured) > 0
    fit = fit_power([measured[1:]], deviation or None) if fitted else None
    series = [Series("measured", list(enumerate(power / unit for power in measured)), ACCENT, markers=True)]
    bands = []
    if fit:
        series.append(Series("fitted model", list(enumerate((value / unit for value in fit.curve), 1)), FIT_COLOUR))
        ends = zip(fit.low, fit.high, strict=True)
        bands.append(Intervals([(k, low / unit, high / unit) for k, (low, high) in enumerate(ends, 1)], FIT_COLOUR))
    series.append(reference_line("real images", measured[0] / unit, len(measured) - 1))
    note = "Fine structure, relative to the real images: rising means noise and hard edges, falling means blur. "
    return against_k(
        "High-frequency power", note + _fit_note(fit), series, from_zero=True, bands=bands, paper="Fig. 4b", size=(540, 290)
    )


def _fit_note(fit: PowerFit | None) -> str:
    if fit is None:
        return f"From {FEWEST_ITERATIONS + 1} iterations on, the selection model of section 4 is fitted to it."
    low, high = fit.intervals["sigma_E"]
    return (
        f"The line is section 4’s selection model, fitted from k = 1, with its 95 % band: as if each iteration discarded the "
        f"{_share(fit, 'r1')} of images with the least power and the {_share(fit, 'r2')} with the most "
        f"(in brackets: 95 % intervals); σ_E = {short(fit.sigma_E)} ({short(low)}–{short(high)}), in the units of S itself."
    )


def _share(fit: PowerFit, name: str) -> str:
    """Format as "46 % (5–80 %)"."""
    low, high = fit.intervals[name]
    return f"{getattr(fit, name):.0%} ({low:.0%}–{high:.0%})".replace("%", " %")


def forecast_figures(measured: Sequence[float], deviation: float | None = None) -> list[Figure]:
    """Draw what the theory (section 4), shown the first two thirds of S_1..S_K, would have said of the rest, and what happened.

    Nothing for too short a chain. `deviation` is the deviation of S over the images of D_1. S_0, of real images, is the unit
    and no part of the forecast.
    """
    tested = backtest(measured[1:], deviation or None) if min(measured) > 0 else None
    return [_forecast(*tested, measured)] if tested else []


def _forecast(forecast: Forecast, result: ForecastScore, measured: Sequence[float]) -> Figure:
    """Draw S_k / S_0; the forecast's iterations count from k = 1."""
    unit, known = measured[0], len(forecast.fit.curve)
    ratios = list(enumerate(power / unit for power in measured))
    power, low, high = ([value / unit for value in values] for values in (forecast.power, forecast.low, forecast.high))
    start, happened = ratios[known], ratios[known + 1 :]
    interval = [(known, start[1], start[1]), *zip(range(known + 1, len(ratios)), low, high, strict=True)]
    return against_k(
        "Forecast of the high-frequency power",
        f"The selection model fitted to k = 1 to {known} alone, and what it says of the iterations after them, with its 95 % "
        f"prediction band. It erred by {short(result.error / unit)} (root mean square); had one said “it stays as it is at "
        f"k = {known}”, by {short(result.unchanged / unit)}.",
        [
            Series("known", ratios[1 : known + 1], QUIET, markers=True),
            Series("what then happened", happened, ACCENT, markers=True),
            Series("forecast", [start, *enumerate(power, known + 1)], FIT_COLOUR, dashed=True),
        ],
        from_zero=True,
        bands=[Intervals(interval, FIT_COLOUR)],
        size=(540, 290),
    )


def _radial(chain: FinishedChain) -> Figure:
    """Draw the rings but ring 0: the mean, which is removed beforehand."""
    return _against_real(
        chain,
        "Radial power spectrum",
        "Share of an image’s power at each spatial frequency, from coarse to fine, on a logarithmic scale. "
        "Dashed: the real images; a curve that ends below it has lost detail.",
        "cycles per pixel",
        lambda analysis: _profile(analysis["spectrum"])[1:],
        log=True,
    )


def _angular(chain: FinishedChain) -> Figure:
    def points(analysis: dict[str, Any]) -> Points:
        shares = analysis["spectrum"]["angular"]
        return [(180.0 * (j + 0.5) / len(shares), share) for j, share in enumerate(shares)]

    return _against_real(
        chain,
        "Angular power spectrum",
        "Share of power in each direction, without the coarse structure: 0° counts vertical edges, 90° horizontal ones. "
        "A peak that the real images lack is a grid or grain.",
        "direction in degrees",
        points,
    )


def _residual(chain: FinishedChain) -> Figure:
    denoiser = chain.real_analysis["fingerprint"]["denoiser"]
    return _against_real(
        chain,
        "Spectrum of the residuals",
        f"Power of what a denoiser ({denoiser}) takes away, ring by ring around the middle of the pictures below. "
        "Dashed: the real images.",
        "cycles per pixel",
        lambda analysis: _profile(analysis["fingerprint"]),
        log=True,
        paper="Fig. 40b",
    )


def _against_real(
    chain: FinishedChain, title: str, note: str, x_label: str, points: Any, log: bool = False, paper: str = "Fig. 39"
) -> Figure:
    """Draw one line for each k, and a dashed one for D_0; `points` takes an analysis."""
    real = Series("real images", points(chain.real_analysis), "var(--k0)", dashed=True)
    svg = line_per_iteration(chain, x_label, lambda it: points(it.analysis), extra=[real], from_zero=not log, log=log)
    return Figure(title, note, svg, paper=paper)


def _profile(spectrum: dict[str, list[float]]) -> Points:
    return list(zip(spectrum["frequencies"], spectrum["radial"], strict=True))
