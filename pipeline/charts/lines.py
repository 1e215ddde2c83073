"""Line charts: series with bands, error bars and single marks."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup, escape

from pipeline.charts import svg
from pipeline.charts.svg import Frame, ToPixels

LEFT, TITLED_LEFT, TOP, RIGHT_MARGIN, BOTTOM_MARGIN = 46, 72, 10, 10, 40
"""Room around the plot for its labels, in units of the drawing; at `width` 360 one is about a pixel."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A named line; `colour` is a CSS colour, usually var(--k3). Points with y None are left out.

    A `faint` line is thin and dotted, and has no part in the read-out: the model beside each measured curve. With `line` False
    only the `markers` are drawn, `hollow` ones as rings.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    colour: str
    dashed: bool = False
    markers: bool = False
    faint: bool = False
    line: bool = True
    hollow: bool = False

    def drawn(self) -> list[Point]:
        return [(x, y) for x, y in self.points if y is not None and math.isfinite(y)]


@dataclass(frozen=True)
class Intervals:
    """From low to high at each x of (x, low, high): a tinted region as one of a chart's `bands`, bars among its `errors`."""

    points: Sequence[tuple[float, float, float]]
    colour: str


@dataclass(frozen=True)
class Dots:
    """Small marks without a line, behind the lines: the single runs behind their mean."""

    points: Sequence[Point]
    colour: str


@dataclass(frozen=True)
class LineChart:
    """What to draw, bands, error bars and dots behind the lines.

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
    bands: Sequence[Intervals] = ()
    errors: Sequence[Intervals] = ()
    dots: Sequence[Dots] = ()
    y_label: str = ""

    @property
    def frame(self) -> Frame:
        left = TITLED_LEFT if self.y_label else LEFT
        return Frame(self.width, self.height, left, TOP, self.width - RIGHT_MARGIN, self.height - BOTTOM_MARGIN)


def draw_lines(chart: LineChart) -> Markup:
    """Return the chart as an <svg>; page.js reads `data-chart` for the pointer's read-out."""
    lines = [(series, [p for p in series.drawn() if not chart.log or p[1] > 0]) for series in chart.series]
    points = [point for _, drawn in lines for point in drawn]
    if not points:
        return svg.NOTHING
    points += [point for dots in chart.dots for point in dots.points]
    bands, errors = (_bounded(intervals, [y for _, y in points]) for intervals in (chart.bands, chart.errors))
    points += [(x, y) for intervals in (*bands, *errors) for x, low, high in intervals.points for y in (low, high)]
    x_low, x_high = _widened(*(chart.x_range or (min(x for x, _ in points), max(x for x, _ in points))))
    ticks = _y_ticks(chart, [y for _, y in points])
    frame = chart.frame
    to_x = svg.scale(x_low, x_high, frame.left, frame.right)
    to_y = svg.scale(ticks[0], ticks[-1], frame.bottom, frame.top, log=chart.log)
    body = [*svg.rows(frame, ticks, to_y), *svg.columns(frame, svg.inner_ticks(x_low, x_high, 7, chart.whole_x), to_x, False)]
    body += [svg.x_title(frame, chart.x_label, 4), *([svg.y_title(frame, chart.y_label)] if chart.y_label else [])]
    body += [_band(band, to_x, to_y) for band in bands]
    body += [_errors(intervals, to_x, to_y) for intervals in errors]
    body += [_dots(dots, to_x, to_y) for dots in chart.dots]
    body += [_line(series, [(to_x(x), to_y(y)) for x, y in drawn]) for series, drawn in lines]
    named = [(series, drawn) for series, drawn in lines if not series.faint]
    readout = {"x": [x_low, x_high], "px": [frame.left, frame.right], "py": [frame.top, frame.bottom], "label": chart.x_label}
    data = json.dumps(readout | {"series": [_values(series, drawn) for series, drawn in named]}, separators=(",", ":"))
    label = f"{', '.join(series.name for series, _ in named)} against {chart.x_label}"
    return svg.element(frame, label, body, Markup(' data-chart="{}"').format(data))


def _bounded(bands: Sequence[Intervals], values: Sequence[float]) -> list[Intervals]:
    """Cut the intervals off where they reach further beyond the values than those span: two seeds can have an interval that
    would leave nothing else to see.
    """
    room = max(values) - min(values) or math.inf
    least, most = min(values) - room, max(values) + room
    return [replace(band, points=[(x, max(low, least), min(high, most)) for x, low, high in band.points]) for band in bands]


def _values(series: Series, drawn: list[Point]) -> dict[str, Any]:
    """Return what the read-out needs of a line."""
    points = [[float(f"{value:.6g}") for value in point] for point in drawn]
    return {"name": series.name, "colour": series.colour, "dashed": series.dashed, "points": points}


def _widened(low: float, high: float) -> Point:
    """Return a range that is not empty."""
    room = 0.0 if high > low else max(abs(low) * 0.1, 0.5)
    return low - room, high + room


def _y_ticks(chart: LineChart, values: list[float]) -> list[float]:
    if chart.log:
        return svg.decades(min(values), max(values))
    low, high = chart.y_range or (min(values), max(values))
    if chart.from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    return svg.nice_ticks(*_widened(low, high))


def _band(band: Intervals, to_x: ToPixels, to_y: ToPixels) -> Markup:
    there = [(x, low) for x, low, _ in band.points]
    back = [(x, high) for x, _, high in reversed(band.points)]
    outline = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in there + back)
    return Markup('<polygon class="band" style="--c:{}" points="{}"/>').format(band.colour, outline)


def _errors(intervals: Intervals, to_x: ToPixels, to_y: ToPixels) -> Markup:
    bars = [svg.error_bar(intervals.colour, to_x(x), to_x(x), to_y(low), to_y(high)) for x, low, high in intervals.points]
    return Markup("").join(bars)


def _dots(dots: Dots, to_x: ToPixels, to_y: ToPixels) -> Markup:
    dot = Markup('<circle class="dot-mark" cx="{:.1f}" cy="{:.1f}" r="1.9"/>')
    marks = Markup("").join(dot.format(to_x(x), to_y(y)) for x, y in dots.points)
    return Markup('<g style="--c:{}">{}</g>').format(dots.colour, marks)


def _line(series: Series, points: list[Point]) -> Markup:
    kind = "line faint" if series.faint else "line dashed" if series.dashed else "line"
    line = svg.polyline(kind, points) if series.line else Markup("")
    mark = Markup('<circle{} cx="{:.1f}" cy="{:.1f}" r="3.2"/>')
    ring = Markup(' class="hollow"') if series.hollow else Markup("")
    marks = [mark.format(ring, x, y) for x, y in points] if series.markers or len(points) == 1 else []
    return Markup('<g style="--c:{}">{}{}</g>').format(series.colour, line, Markup("").join(marks))


def legend(series: Sequence[Series]) -> Markup:
    """Return a swatch and the name of each series, for charts whose colours are not the iterations'."""
    item = Markup('<span class="key{}" style="--c:{}">{}</span>')
    return Markup("").join(item.format(" dashed" if s.dashed else "", s.colour, escape(s.name)) for s in series)
