"""Line charts as inline SVG: small, legible, in the page's own colours, equal input giving equal text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup, escape

from pipeline.charts.numbers import short

LEFT, TOP, RIGHT_MARGIN, BOTTOM_MARGIN = 46, 10, 10, 40
"""Room around the plot for its labels, in units of the drawing; at `width` 360 one is about a pixel."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A named line; `colour` is a CSS colour, usually var(--k3). Points with y None are left out.

    A `faint` line is thin and dotted, and has no part in the read-out: the model beside each measured curve.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    colour: str
    dashed: bool = False
    markers: bool = False
    faint: bool = False

    def drawn(self) -> list[Point]:
        return [(x, y) for x, y in self.points if y is not None and math.isfinite(y)]


@dataclass(frozen=True)
class Band:
    """A tinted region between the lower and the upper end of each (x, low, high)."""

    points: Sequence[tuple[float, float, float]]
    colour: str


@dataclass(frozen=True)
class Dots:
    """Small marks without a line, behind the lines: the single runs behind their mean."""

    points: Sequence[Point]
    colour: str


@dataclass(frozen=True)
class LineChart:
    """What to draw, bands and dots behind the lines.

    `x_range` and `y_range` fix an axis, `from_zero` includes 0 in y, `log` asks for decades (y <= 0 is left out), `whole_x` for
    whole numbers; `width` and `height` are the drawing's, labels included.
    """

    x_label: str
    series: Sequence[Series]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    from_zero: bool = False
    log: bool = False
    whole_x: bool = False
    width: int = 360
    height: int = 225
    bands: Sequence[Band] = ()
    dots: Sequence[Dots] = ()

    @property
    def right(self) -> int:
        return self.width - RIGHT_MARGIN

    @property
    def bottom(self) -> int:
        return self.height - BOTTOM_MARGIN


def draw_lines(chart: LineChart) -> Markup:
    """The chart as an <svg> that scales to its place; page.js reads `data-chart` for the pointer's read-out."""
    lines = [(series, [p for p in series.drawn() if not chart.log or p[1] > 0]) for series in chart.series]
    points = [point for _, drawn in lines for point in drawn]
    if not points:
        return Markup('<p class="empty">Nothing was recorded.</p>')
    points += [point for dots in chart.dots for point in dots.points]
    bands = _bounded(chart.bands, [y for _, y in points])
    points += [(x, y) for band in bands for x, low, high in band.points for y in (low, high)]
    x_low, x_high = _widened(*(chart.x_range or (min(x for x, _ in points), max(x for x, _ in points))))
    ticks = _y_ticks(chart, [y for _, y in points])
    to_x = _scale(x_low, x_high, LEFT, chart.right)
    to_y = _scale(ticks[0], ticks[-1], chart.bottom, TOP, log=chart.log)
    body = [*_grid(chart, ticks, to_y), *_x_axis(chart, x_low, x_high, to_x)]
    body += [_band(band, to_x, to_y) for band in bands]
    body += [_dots(dots, to_x, to_y) for dots in chart.dots]
    body += [_line(series, [(to_x(x), to_y(y)) for x, y in drawn]) for series, drawn in lines]
    readout: dict[str, Any] = {
        "x": [x_low, x_high],
        "px": [LEFT, chart.right],
        "py": [TOP, chart.bottom],
        "label": chart.x_label,
    }
    told = [(series, drawn) for series, drawn in lines if not series.faint]
    readout["series"] = [_values(series, drawn) for series, drawn in told]
    label = f"{', '.join(series.name for series, _ in told)} against {chart.x_label}"
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" data-chart="{}">{}</svg>').format(
        chart.width, chart.height, label, json.dumps(readout, separators=(",", ":")), Markup("").join(body)
    )


def _bounded(bands: Sequence[Band], values: Sequence[float]) -> list[Band]:
    """The bands, cut off where they reach further beyond the values than those span: two seeds can have an interval that would
    leave nothing else to see.
    """
    room = max(values) - min(values) or math.inf
    least, most = min(values) - room, max(values) + room
    return [replace(band, points=[(x, max(low, least), min(high, most)) for x, low, high in band.points]) for band in bands]


def nice_ticks(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """About `count` round numbers (1, 2, 2.5 or 5 times a power of ten) that enclose low..high."""
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    if whole:
        step = max(1.0, math.ceil(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _values(series: Series, drawn: list[Point]) -> dict[str, Any]:
    """What the read-out needs of a line."""
    points = [[float(f"{value:.6g}") for value in point] for point in drawn]
    return {"name": series.name, "colour": series.colour, "dashed": series.dashed, "points": points}


def _widened(low: float, high: float) -> Point:
    """A range that is not empty."""
    room = 0.0 if high > low else max(abs(low) * 0.1, 0.5)
    return low - room, high + room


def _y_ticks(chart: LineChart, values: list[float]) -> list[float]:
    if chart.log:
        return _decades(min(values), max(values))
    low, high = chart.y_range or (min(values), max(values))
    if chart.from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    return nice_ticks(*_widened(low, high))


def _decades(low: float, high: float) -> list[float]:
    """At most about seven powers of ten that enclose low..high."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    stride = math.ceil((last - first) / 6)
    return [10.0**exponent for exponent in range(last, first - stride, -stride)][::-1]


def _scale(low: float, high: float, start: float, end: float, log: bool = False) -> Callable[[float], float]:
    if log:
        linear = _scale(math.log10(low), math.log10(high), start, end)
        return lambda value: linear(math.log10(value))
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _grid(chart: LineChart, ticks: list[float], to_y: Callable[[float], float]) -> list[Markup]:
    row = Markup('<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="y" x="{}" y="{:.1f}">{}</text>')
    return [row.format(LEFT, chart.right, to_y(t), to_y(t), LEFT - 7, to_y(t) + 4, _tick(t)) for t in ticks]


def _x_axis(chart: LineChart, low: float, high: float, to_x: Callable[[float], float]) -> list[Markup]:
    ticks = [t for t in nice_ticks(low, high, 7, chart.whole_x) if low <= t <= high]
    label = Markup('<text class="x" x="{:.1f}" y="{}">{}</text>')
    title = Markup('<text class="axis" x="{}" y="{}">{}</text>').format(
        (LEFT + chart.right) / 2, chart.height - 4, chart.x_label
    )
    return [*(label.format(to_x(t), chart.bottom + 18, _tick(t)) for t in ticks), title]


def _tick(value: float) -> str:
    exponent = round(math.log10(abs(value))) if value else 0
    if value and abs(exponent) >= 4:
        superscript = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        mantissa = value / 10.0**exponent
        return f"10{superscript}" if abs(mantissa - 1) < 1e-9 else short(value)
    return f"{value:,.10g}".replace("-", "−")


def _band(band: Band, to_x: Callable[[float], float], to_y: Callable[[float], float]) -> Markup:
    there = [(x, low) for x, low, _ in band.points]
    back = [(x, high) for x, _, high in reversed(band.points)]
    outline = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in there + back)
    return Markup('<polygon class="band" style="--c:{}" points="{}"/>').format(band.colour, outline)


def _dots(dots: Dots, to_x: Callable[[float], float], to_y: Callable[[float], float]) -> Markup:
    dot = Markup('<circle class="dot-mark" cx="{:.1f}" cy="{:.1f}" r="1.9"/>')
    marks = Markup("").join(dot.format(to_x(x), to_y(y)) for x, y in dots.points)
    return Markup('<g style="--c:{}">{}</g>').format(dots.colour, marks)


def _line(series: Series, points: list[Point]) -> Markup:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    kind = "line faint" if series.faint else "line dashed" if series.dashed else "line"
    marks = [Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.2"/>').format(x, y) for x, y in points]
    return Markup('<g style="--c:{}"><polyline class="{}" points="{}"/>{}</g>').format(
        series.colour, kind, path, Markup("").join(marks) if series.markers or len(points) == 1 else Markup("")
    )


def legend(series: Sequence[Series]) -> Markup:
    """Swatch and name of each series, for charts whose colours are not the iterations'."""
    item = Markup('<span class="key{}" style="--c:{}">{}</span>')
    return Markup("").join(item.format(" dashed" if s.dashed else "", s.colour, escape(s.name)) for s in series)
