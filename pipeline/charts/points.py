"""Charts of single points: error bars, a front, names that keep clear of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.charts import svg
from pipeline.charts.svg import Frame, ToPixels

LEFT, TOP, RIGHT, BOTTOM = 52, 12, 14, 42
"""Room around the plot for its labels, in units of the drawing, which are about pixels."""
CHARACTER, LINE = 6.3, 15.0
"""About the width of a character and the height of a line of the labels."""

LONGEST_ERROR = 0.25
"""How far, as a share of the values' own range, an error may stretch an axis: of two runs it can be many times the range."""

Box = tuple[float, float, float, float]
"""left, top, right, bottom"""


@dataclass(frozen=True)
class Mark:
    """A point; `label` stands beside it, `tip` appears under the pointer; x and y errors are half widths of intervals.

    A `faint` one is a thin mark behind the others: a single run behind its setting's mean.
    """

    x: float
    y: float
    colour: str
    label: str = ""
    tip: str = ""
    x_error: float = 0.0
    y_error: float = 0.0
    radius: float = 4.5
    faint: bool = False


@dataclass(frozen=True)
class PointChart:
    """What to draw; `front` are the corners of a dashed line from left to right; without `axes` only the points show."""

    x_label: str
    y_label: str
    marks: Sequence[Mark]
    front: Sequence[tuple[float, float]] = ()
    axes: bool = True
    width: int = 760
    height: int = 420

    @property
    def frame(self) -> Frame:
        if not self.axes:
            return Frame(self.width, self.height, 6, 6, self.width - 6, self.height - 6)
        return Frame(self.width, self.height, LEFT, TOP, self.width - RIGHT, self.height - BOTTOM)


def draw_points(chart: PointChart) -> Markup:
    """Return the chart as an <svg>."""
    if not chart.marks:
        return svg.NOTHING
    across = _span([(m.x, m.x_error) for m in chart.marks])
    upright = _span([(m.y, m.y_error) for m in chart.marks])
    frame = chart.frame
    to_x, to_y = _clamped(across, frame.left, frame.right), _clamped(upright, frame.bottom, frame.top)
    body = _axes(chart, across, upright, to_x, to_y) if chart.axes else []
    body += [svg.polyline("front", [(to_x(x), to_y(y)) for x, y in chart.front])] if len(chart.front) > 1 else []
    body += [_errors(mark, to_x, to_y) for mark in chart.marks if mark.x_error or mark.y_error]
    body += [_mark(mark, to_x, to_y) for mark in chart.marks]
    body += _labels(chart, to_x, to_y)
    return svg.element(frame, f"{chart.y_label} against {chart.x_label}", body)


def _span(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the ends of an axis, a little beyond the (value, error) pairs; errors far beyond all values are cut off."""
    first, last = min(value for value, _ in values), max(value for value, _ in values)
    most = LONGEST_ERROR * (last - first) if last > first else max(error for _, error in values)
    low, high = min(v - min(e, most) for v, e in values), max(v + min(e, most) for v, e in values)
    room = (high - low) * 0.06 or max(abs(low) * 0.1, 0.5)
    return low - room, high + room


def _clamped(span: tuple[float, float], start: float, end: float) -> ToPixels:
    """Return the map from values to pixels; what lies beyond the span, the end of a long error, goes to its edge."""
    to_pixels = svg.scale(*span, start, end)
    return lambda value: to_pixels(min(max(value, span[0]), span[1]))


def _axes(
    chart: PointChart, across: tuple[float, float], upright: tuple[float, float], to_x: ToPixels, to_y: ToPixels
) -> list[Markup]:
    """Return the grid, numbers and titles of both axes."""
    rows = svg.rows(chart.frame, svg.inner_ticks(*upright, 9), to_y)
    columns = svg.columns(chart.frame, svg.inner_ticks(*across, 9), to_x, rules=True)
    return [*rows, *columns, svg.x_title(chart.frame, chart.x_label, 5), svg.y_title(chart.frame, chart.y_label)]


def _errors(mark: Mark, to_x: ToPixels, to_y: ToPixels) -> Markup:
    x, y = to_x(mark.x), to_y(mark.y)
    across = svg.error_bar(mark.colour, to_x(mark.x - mark.x_error), to_x(mark.x + mark.x_error), y, y)
    return across + svg.error_bar(mark.colour, x, x, to_y(mark.y - mark.y_error), to_y(mark.y + mark.y_error))


def _mark(mark: Mark, to_x: ToPixels, to_y: ToPixels) -> Markup:
    title = Markup("<title>{}</title>").format(mark.tip) if mark.tip else Markup("")
    kind = Markup('class="dot-mark" ') if mark.faint else Markup("")
    return Markup('<circle {}style="--c:{}" cx="{:.1f}" cy="{:.1f}" r="{:g}">{}</circle>').format(
        kind, mark.colour, to_x(mark.x), to_y(mark.y), mark.radius, title
    )


def _labels(chart: PointChart, to_x: ToPixels, to_y: ToPixels) -> list[Markup]:
    """Place each label where it covers least: right, left, above or below its point, or in between."""
    taken = [box for mark in chart.marks for box in _occupied(mark, to_x, to_y)]
    drawn = []
    for mark in (mark for mark in chart.marks if mark.label):
        boxes = _places(to_x(mark.x), to_y(mark.y), len(mark.label) * CHARACTER)
        box = min(boxes, key=lambda box: _covered(box, taken) + _outside(box, chart))
        taken.append(box)
        drawn.append(Markup('<text class="mark" x="{:.1f}" y="{:.1f}">{}</text>').format(box[0], box[3] - 4, mark.label))
    return drawn


def _occupied(mark: Mark, to_x: ToPixels, to_y: ToPixels) -> list[Box]:
    """Return what a point and its error bars take up."""
    x, y, r = to_x(mark.x), to_y(mark.y), mark.radius
    across = (to_x(mark.x - mark.x_error), y - 1.0, to_x(mark.x + mark.x_error), y + 1.0)
    upright = (x - 1.0, to_y(mark.y + mark.y_error), x + 1.0, to_y(mark.y - mark.y_error))
    return [(x - r, y - r, x + r, y + r), across, upright]


def _places(x: float, y: float, wide: float) -> list[Box]:
    """Return boxes around a point, the favourites first."""
    lefts = {"right": x + 9, "left": x - 9 - wide, "middle": x - wide / 2}
    near = [("right", -LINE / 2), ("left", -LINE / 2), ("right", -LINE - 2), ("right", 2.0), ("left", -LINE - 2), ("left", 2.0)]
    far = [(side, top) for top in (-LINE - 8, 8.0, -2 * LINE - 8, LINE + 8) for side in ("middle", "right", "left")]
    return [(lefts[side], y + top, lefts[side] + wide, y + top + LINE) for side, top in near + far]


def _covered(box: Box, taken: Sequence[Box]) -> float:
    """Return the area that `box` shares with the others."""
    widths = [(min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])) for other in taken]
    return sum(max(w, 0.0) * max(h, 0.0) for w, h in widths)


def _outside(box: Box, chart: PointChart) -> float:
    """Return the area of `box` beyond the drawing."""
    frame = chart.frame
    across = max(min(box[2], frame.right) - max(box[0], frame.left), 0.0)
    inside = across * max(min(box[3], frame.bottom) - max(box[1], frame.top), 0.0)
    return 4.0 * ((box[2] - box[0]) * (box[3] - box[1]) - inside)
