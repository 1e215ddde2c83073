"""The theory's figures as SVG; equal input gives equal bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.studies.theory.measured_power import MeasuredSetting, mean_over_runs
from pipeline.theory.fit import PowerFit
from pipeline.theory.forecast import Forecast
from pipeline.theory.recursion import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#7b3fa0", "#c9403b", "#d98a1c", "#2f7f86", "#4a5fb0", "#7a8b2a", "#b0508f", "#5a4a42", "#3f9fd0", "#8a8a8a")
_INK, _QUIET = "#222222", "#8a8a8a"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "redifine",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}


@dataclass(frozen=True)
class SimulatedCurve:
    """A setting's closed form, and its simulation: the trait's mean and deviation with their standard errors, [K+1] each."""

    path: Trajectory
    mean: np.ndarray
    mean_error: np.ndarray
    sigma_P: np.ndarray
    sigma_P_error: np.ndarray


def simulations(curves: Mapping[str, SimulatedCurve], title: str) -> str:
    """Mean and deviation of the trait over iterations (Fig. 4b, 25): lines the closed form, marks the individuals."""

    def draw(left: Axes, right: Axes) -> None:
        for colour, (name, curve) in zip(cycle(_COLOURS), curves.items(), strict=False):
            t = np.arange(len(curve.mean))
            left.plot(t, curve.path.mean, ":", color=colour, label=name)
            left.errorbar(t, curve.mean, 2 * curve.mean_error, fmt="o", ms=4, color=colour)
            right.plot(t, curve.path.sigma_P, ":", color=colour)
            right.errorbar(t, curve.sigma_P, 2 * curve.sigma_P_error, fmt="o", ms=4, color=colour)
        left.axhline(0.0, color=_QUIET, lw=0.8)
        _label(left, title, "iteration t", "mean of the trait")
        _label(right, "lines: closed form; marks: individuals, ± 2 s.e.", "iteration t", "deviation of the trait, $\\sigma_P$")
        left.legend()

    return _svg(draw, (10.0, 3.8), panels=(1, 2))


def fitted(settings: Sequence[MeasuredSetting], fits: Sequence[PowerFit]) -> str:
    """Each setting's measured power, its fitted curve and bands, all in one figure (Fig. 4b, 25).

    Runs are thin marks and their mean is a large one; the lighter band, for single measurements, is drawn of one setting alone.
    """

    from matplotlib.ticker import MaxNLocator

    def draw(axes: Axes) -> None:
        for colour, setting, fit in zip(cycle(_COLOURS), settings, fits, strict=False):
            k = np.arange(setting.start, setting.start + len(fit.curve))
            if len(settings) == 1:
                single = "95 % of single measurements"
                axes.fill_between(k, fit.single_low, fit.single_high, color=colour, alpha=0.07, lw=0, label=single)
            axes.fill_between(k, fit.low, fit.high, color=colour, alpha=0.15, lw=0)
            axes.plot(k, fit.curve, ":", color=colour)
            _measured(axes, setting, colour, len(fit.curve), setting.name)
        _label(axes, _fit_title(fits), "iteration k", "high-frequency power S")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=8, ncols=2 if len(settings) > 6 else 1)

    return _svg(draw, (6.4, 4.2))


def _fit_title(fits: Sequence[PowerFit]) -> str:
    if len(fits) > 1:
        return "dotted: fitted model, with the 95 % confidence band of the mean"
    fit = fits[0]
    return f"$r_1$ = {fit.r1:.2g}, $r_2$ = {fit.r2:.2g}, $\\sigma_E$ = {fit.sigma_E:.2g}; band: 95 % of the mean"


def _measured(axes: Axes, setting: MeasuredSetting, colour: str, known: int, label: str) -> None:
    """The first `known` powers of each run, and their mean."""
    runs = [powers[:known] for powers in setting.powers]
    if len(runs) > 1:
        for powers in runs:
            axes.plot(np.arange(setting.start, setting.start + len(powers)), powers, ".", color=colour, ms=3, alpha=0.6)
    mean = mean_over_runs(runs)
    axes.plot(np.arange(setting.start, setting.start + len(mean)), mean, "o-", color=colour, ms=4.5, lw=1, label=label)


def forecasted(settings: Sequence[MeasuredSetting], forecasts: Sequence[Forecast], known: Sequence[int]) -> str:
    """A panel for each setting: the `known` powers, what was predicted from them with its band, and what then happened."""

    def draw(*panels: Axes) -> None:
        for axes, setting, forecast, count in zip(panels, settings, forecasts, known, strict=False):
            _forecast_panel(axes, setting, forecast, count)

    columns = min(len(settings), 3)
    rows = -(-len(settings) // columns)
    return _svg(draw, (5.6 * columns, 4.0 * rows), panels=(rows, columns))


def _forecast_panel(axes: Axes, setting: MeasuredSetting, forecast: Forecast, known: int) -> None:
    start, later = setting.start, setting.start + np.asarray([known - 1, *forecast.iterations])
    mean = mean_over_runs(setting.powers)
    k = np.arange(start, start + len(mean))
    axes.fill_between(later[1:], forecast.low, forecast.high, color=_COLOURS[3], alpha=0.15, lw=0, label="95 % prediction")
    axes.errorbar(later[1:], forecast.power, np.abs(np.array([forecast.low, forecast.high]) - forecast.power),
                  fmt="none", ecolor=_COLOURS[3], alpha=0.5, capsize=3)  # fmt: skip
    axes.plot(k[:known], forecast.fit.curve, ":", color=_COLOURS[0], label="fitted")
    axes.plot(later, [forecast.fit.curve[-1], *forecast.power], "--", color=_COLOURS[3], label="forecast")
    axes.plot(k[:known], mean[:known], "o-", color=_INK, ms=5, lw=1, label="known")
    axes.plot(k[known:], mean[known:], "o", color=_INK, mfc="white", ms=6, label="what then happened")
    _label(axes, f"{setting.name}: from k = {start}..{start + known - 1}", "iteration k", "high-frequency power S")
    axes.set_xticks(np.arange(start, later[-1] + 1))
    axes.legend(fontsize=8)


def wright_fisher(expected: Mapping[int, np.ndarray], found: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> str:
    """Share of the variance left, by population size N: the closed form, and simulations with twice their standard error."""

    def draw(axes: Axes) -> None:
        for colour, (size, shares) in zip(cycle(_COLOURS), expected.items(), strict=False):
            t = np.arange(len(shares))
            mean, error = found[size]
            some = slice(None, None, max(len(t) // 12, 1))
            axes.plot(t, shares, ":", color=colour, label=f"N = {size}")
            axes.errorbar(t[some], mean[some], 2 * error[some], fmt="o", ms=4, color=colour)
        _label(axes, "no selection; marks: simulated, ± 2 standard errors", "iteration t", "share of the variance left")
        axes.set_ylim(0.0, 1.05)
        axes.legend()

    return _svg(draw, (6.0, 4.0))


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _svg(draw: Callable[..., None], size: tuple[float, float], panels: tuple[int, int] = (1, 1)) -> str:
    """An SVG of rows and columns of axes, which `draw` takes as its arguments."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(*figure.subplots(*panels, squeeze=False).ravel())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
