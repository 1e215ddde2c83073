"""Points in a chart as inline SVG: error bars, a front, names that keep clear of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.charts.lines import nice_ticks

LEFT, TOP, RIGHT, BOTTOM = 52, 12, 14, 42
"""Room around the plot for its labels, in units of the drawing, which are about pixels."""
CHARACTER, LINE = 6.3, 15.0
"""About the width of a character and the height of a line of the labels."""

LONGEST_ERROR = 0.25
"""How far, as a share of the values' own range, an error may stretch an axis: of two runs it can be many times the range."""

ToPixels = Callable[[float], float]
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
    def room(self) -> Box:
        """Where points may lie."""
        if not self.axes:
            return 6, 6, self.width - 6, self.height - 6
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM


def draw(chart: PointChart) -> Markup:
    """The chart as an <svg> that scales to its place."""
    if not chart.marks:
        return Markup('<p class="empty">Nothing was recorded.</p>')
    across = _span([(m.x, m.x_error) for m in chart.marks])
    upright = _span([(m.y, m.y_error) for m in chart.marks])
    left, top, right, bottom = chart.room
    to_x, to_y = _scale(across, left, right), _scale(upright, bottom, top)
    body = _frame(chart, _ticks(across), _ticks(upright), to_x, to_y) if chart.axes else []
    body += _front(chart.front, to_x, to_y)
    body += [_errors(mark, to_x, to_y) for mark in chart.marks if mark.x_error or mark.y_error]
    body += [_mark(mark, to_x, to_y) for mark in chart.marks]
    body += _labels(chart, to_x, to_y)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        chart.width, chart.height, f"{chart.y_label} against {chart.x_label}", Markup("").join(body)
    )


def _span(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The ends of an axis, a little beyond the (value, error) pairs; errors far beyond all values are cut off."""
    first, last = min(value for value, _ in values), max(value for value, _ in values)
    most = LONGEST_ERROR * (last - first) if last > first else max(error for _, error in values)
    low, high = min(v - min(e, most) for v, e in values), max(v + min(e, most) for v, e in values)
    room = (high - low) * 0.06 or max(abs(low) * 0.1, 0.5)
    return low - room, high + room


def _ticks(span: tuple[float, float]) -> list[float]:
    """Round numbers within the span."""
    return [tick for tick in nice_ticks(*span, 9) if span[0] <= tick <= span[1]]


def _scale(span: tuple[float, float], start: float, end: float) -> ToPixels:
    """Values to pixels; what lies beyond the span, the end of a long error, goes to its edge."""
    low, high = span
    return lambda value: start + (min(max(value, low), high) - low) / (high - low) * (end - start)


def _number(value: float) -> str:
    return f"{value:,.10g}".replace("-", "−")


def _frame(chart: PointChart, x_ticks: list[float], y_ticks: list[float], to_x: ToPixels, to_y: ToPixels) -> list[Markup]:
    """Grid, numbers and titles of both axes."""
    _, _, right, bottom = chart.room
    row = Markup('<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="y" x="{}" y="{:.1f}">{}</text>')
    column = Markup('<line class="rule" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/><text class="x" x="{:.1f}" y="{}">{}</text>')
    rows = [row.format(LEFT, right, to_y(t), to_y(t), LEFT - 7, to_y(t) + 4, _number(t)) for t in y_ticks]
    columns = [column.format(to_x(t), to_x(t), TOP, bottom, to_x(t), bottom + 18, _number(t)) for t in x_ticks]
    below = Markup('<text class="axis" x="{}" y="{}">{}</text>').format((LEFT + right) / 2, chart.height - 5, chart.x_label)
    middle = (TOP + bottom) / 2
    beside = Markup('<text class="axis" x="12" y="{}" transform="rotate(-90 12 {})">{}</text>').format(
        middle, middle, chart.y_label
    )
    return [*rows, *columns, below, beside]


def _front(corners: Sequence[tuple[float, float]], to_x: ToPixels, to_y: ToPixels) -> list[Markup]:
    path = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in corners)
    return [Markup('<polyline class="front" points="{}"/>').format(path)] if len(corners) > 1 else []


def _errors(mark: Mark, to_x: ToPixels, to_y: ToPixels) -> Markup:
    bar = Markup('<line class="error" style="--c:{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    across = (to_x(mark.x - mark.x_error), to_x(mark.x + mark.x_error), to_y(mark.y), to_y(mark.y))
    upright = (to_x(mark.x), to_x(mark.x), to_y(mark.y - mark.y_error), to_y(mark.y + mark.y_error))
    return bar.format(mark.colour, *across) + bar.format(mark.colour, *upright)


def _mark(mark: Mark, to_x: ToPixels, to_y: ToPixels) -> Markup:
    title = Markup("<title>{}</title>").format(mark.tip) if mark.tip else Markup("")
    kind = Markup('class="dot-mark" ') if mark.faint else Markup("")
    return Markup('<circle {}style="--c:{}" cx="{:.1f}" cy="{:.1f}" r="{:g}">{}</circle>').format(
        kind, mark.colour, to_x(mark.x), to_y(mark.y), mark.radius, title
    )


def _labels(chart: PointChart, to_x: ToPixels, to_y: ToPixels) -> list[Markup]:
    """Each label where it covers least: right, left, above or below its point, or in between."""
    taken = [box for mark in chart.marks for box in _occupied(mark, to_x, to_y)]
    drawn = []
    for mark in (mark for mark in chart.marks if mark.label):
        boxes = _places(to_x(mark.x), to_y(mark.y), len(mark.label) * CHARACTER)
        box = min(boxes, key=lambda box: _covered(box, taken) + _outside(box, chart))
        taken.append(box)
        drawn.append(Markup('<text class="mark" x="{:.1f}" y="{:.1f}">{}</text>').format(box[0], box[3] - 4, mark.label))
    return drawn


def _occupied(mark: Mark, to_x: ToPixels, to_y: ToPixels) -> list[Box]:
    """What a point and its error bars take up."""
    x, y, r = to_x(mark.x), to_y(mark.y), mark.radius
    across = (to_x(mark.x - mark.x_error), y - 1.0, to_x(mark.x + mark.x_error), y + 1.0)
    upright = (x - 1.0, to_y(mark.y + mark.y_error), x + 1.0, to_y(mark.y - mark.y_error))
    return [(x - r, y - r, x + r, y + r), across, upright]


def _places(x: float, y: float, wide: float) -> list[Box]:
    """Boxes around a point, the favourites first."""
    lefts = {"right": x + 9, "left": x - 9 - wide, "middle": x - wide / 2}
    near = [("right", -LINE / 2), ("left", -LINE / 2), ("right", -LINE - 2), ("right", 2.0), ("left", -LINE - 2), ("left", 2.0)]
    far = [(side, top) for top in (-LINE - 8, 8.0, -2 * LINE - 8, LINE + 8) for side in ("middle", "right", "left")]
    return [(lefts[side], y + top, lefts[side] + wide, y + top + LINE) for side, top in near + far]


def _covered(box: Box, taken: Sequence[Box]) -> float:
    """Area that `box` shares with the others."""
    widths = [(min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])) for other in taken]
    return sum(max(w, 0.0) * max(h, 0.0) for w, h in widths)


def _outside(box: Box, chart: PointChart) -> float:
    """Area of `box` beyond the drawing."""
    room = chart.room
    inside = max(min(box[2], room[2]) - max(box[0], room[0]), 0.0) * max(min(box[3], room[3]) - max(box[1], room[1]), 0.0)
    return 4.0 * ((box[2] - box[0]) * (box[3] - box[1]) - inside)
