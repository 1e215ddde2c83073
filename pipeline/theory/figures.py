"""The theory's figures as SVG; equal input gives equal bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.theory.fit import PowerFit
from pipeline.theory.forecast import Forecast
from pipeline.theory.recursion import Path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#7b3fa0", "#c9403b", "#d98a1c", "#2f7f86", "#4a5fb0")
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
class Curve:
    """A setting's closed form, and its simulation: the trait's mean and deviation with their standard errors, [K+1] each."""

    path: Path
    mean: np.ndarray
    mean_error: np.ndarray
    sigma_P: np.ndarray
    sigma_P_error: np.ndarray


def simulations(curves: Mapping[str, Curve], title: str) -> str:
    """Mean and deviation of the trait over iterations (Fig. 4b, 25): lines the closed form, marks the individuals."""

    def draw(left: Axes, right: Axes) -> None:
        for colour, (name, curve) in zip(_COLOURS, curves.items(), strict=False):
            t = np.arange(len(curve.mean))
            left.plot(t, curve.path.mean, ":", color=colour, label=name)
            left.errorbar(t, curve.mean, 2 * curve.mean_error, fmt="o", ms=4, color=colour)
            right.plot(t, curve.path.sigma_P, ":", color=colour)
            right.errorbar(t, curve.sigma_P, 2 * curve.sigma_P_error, fmt="o", ms=4, color=colour)
        left.axhline(0.0, color=_QUIET, lw=0.8)
        _label(left, title, "iteration t", "mean of the trait")
        _label(right, "lines: closed form; marks: simulated individuals", "iteration t", "deviation of the trait, $\\sigma_P$")
        left.legend()

    return _svg(draw, (10.0, 3.8), panels=2)


def fitted(powers: Sequence[float], fit: PowerFit, start: int = 0) -> str:
    """The measured power, the fitted curve and its confidence band."""

    def draw(axes: Axes) -> None:
        k = np.arange(start, start + len(powers))
        axes.fill_between(k, fit.low, fit.high, color=_COLOURS[0], alpha=0.15, lw=0, label="95 % confidence of the mean")
        axes.plot(k, fit.curve, ":", color=_COLOURS[0], label="model")
        axes.plot(k, powers, "o-", color=_INK, ms=5, lw=1, label="measured")
        title = f"$r_1$ = {fit.r1:.2g}, $r_2$ = {fit.r2:.2g}, $\\sigma_E$ = {fit.sigma_E:.2g}"
        _label(axes, title, "iteration k", "high-frequency power S")
        axes.set_xticks(k)
        axes.legend()

    return _svg(draw, (6.0, 4.0))


def forecasted(powers: Sequence[float], forecast: Forecast, start: int = 0) -> str:
    """The iterations the forecast knew, what it predicts with its band, and what then happened."""

    def draw(axes: Axes) -> None:
        known = len(forecast.fit.curve)
        k, later = np.arange(start, start + len(powers)), start + np.asarray([known - 1, *forecast.iterations])
        axes.fill_between(later[1:], forecast.low, forecast.high, color=_COLOURS[3], alpha=0.15, lw=0, label="95 % prediction")
        axes.errorbar(later[1:], forecast.power, np.abs(np.array([forecast.low, forecast.high]) - forecast.power),
                      fmt="none", ecolor=_COLOURS[3], alpha=0.5, capsize=3)  # fmt: skip
        axes.plot(k[:known], forecast.fit.curve, ":", color=_COLOURS[0], label="fitted")
        axes.plot(later, [forecast.fit.curve[-1], *forecast.power], "--", color=_COLOURS[3], label="forecast")
        axes.plot(k[:known], powers[:known], "o-", color=_INK, ms=5, lw=1, label="known")
        axes.plot(k[known:], powers[known:], "o", color=_INK, mfc="white", ms=6, label="what then happened")
        _label(axes, f"from k = {start}..{start + known - 1}", "iteration k", "high-frequency power S")
        axes.set_xticks(np.arange(start, later[-1] + 1))
        axes.legend()

    return _svg(draw, (6.0, 4.0))


def drifted(expected: Mapping[int, np.ndarray], found: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> str:
    """Share of the variance left, by population size N: the closed form, and simulations with twice their standard error."""

    def draw(axes: Axes) -> None:
        for colour, (size, shares) in zip(_COLOURS, expected.items(), strict=False):
            t = np.arange(len(shares))
            mean, error = found[size]
            some = slice(None, None, max(len(t) // 12, 1))
            axes.plot(t, shares, ":", color=colour, label=f"N = {size}")
            axes.errorbar(t[some], mean[some], 2 * error[some], fmt="o", ms=4, color=colour)
        _label(axes, "Wright-Fisher drift, no selection", "iteration t", "share of the variance left")
        axes.set_ylim(0.0, 1.05)
        axes.legend()

    return _svg(draw, (6.0, 4.0))


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _svg(draw: Callable[..., None], size: tuple[float, float], panels: int = 1) -> str:
    """An SVG of `panels` axes side by side, which `draw` takes as its arguments."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(*np.atleast_1d(figure.subplots(1, panels)))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
