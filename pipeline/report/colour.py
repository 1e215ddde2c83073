"""Colour over k: saturation against D_0's, and the mean colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from pipeline.charts.lines import Series
from pipeline.charts.numbers import short
from pipeline.methods.measures import MEASURES
from pipeline.report.figures import ACCENT, Figure, against_k, reference_line
from pipeline.report.finished_chain import FinishedChain

_CHANNELS = (("red", "var(--red)"), ("green", "var(--green)"), ("blue", "var(--blue)"))


def colour_figures(chain: FinishedChain) -> list[Figure]:
    """Draw saturation, with its growth in words, and the mean of each channel with a swatch for each k."""
    saturations = [chain.real["saturation"], *(iteration.metrics["saturation"] for iteration in chain.iterations)]
    found = [chain.real_analysis["colour"], *(iteration.analysis["colour"] for iteration in chain.iterations)]
    return [_saturation(saturations), _mean_colour(found)]


def _saturation(values: Sequence[float]) -> Figure:
    growth = f" Now {short(values[-1] / values[0])} times theirs." if values[0] > 0 else ""
    return against_k(
        MEASURES["saturation"].title,
        f"{MEASURES['saturation'].note}. Dashed: the real images.{growth}",
        [
            Series("saturation", list(enumerate(values)), ACCENT, markers=True),
            reference_line("real images", values[0], len(values) - 1),
        ],
        from_zero=True,
        paper="Fig. 1b",
    )


def _mean_colour(found: Sequence[dict[str, Any]]) -> Figure:
    series = [
        Series(name, [(k, entry["mean"][channel]) for k, entry in enumerate(found)], css, markers=True)
        for channel, (name, css) in enumerate(_CHANNELS)
    ]
    figure = against_k(
        "Mean colour",
        "Mean of the red, green and blue channel, each line in its colour, from 0 to 1; and as a swatch for k = 0 (the real "
        "images) to the last. A drift is a tint.",
        series,
        y_range=(0.0, 1.0),
    )
    return replace(figure, key=Markup("").join(_swatch(k, entry["mean"]) for k, entry in enumerate(found)))


def _swatch(k: int, mean: Sequence[float]) -> Markup:
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in mean)
    return Markup('<span class="swatch" style="--c: rgb({} {} {})" title="k = {}"></span>').format(red, green, blue, k)
