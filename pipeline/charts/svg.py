"""What every drawing shares: the frame, scales, ticks, axes and the <svg> element; equal input gives equal text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.charts.numbers import short

NOTHING = Markup('<p class="empty">Nothing was recorded.</p>')
"""Stands where there is nothing to draw."""

ToPixels = Callable[[float], float]


@dataclass(frozen=True)
class Frame:
    """A drawing of `width` x `height` units, which are about pixels, and the edges of the plot in it; labels stand outside."""

    width: int
    height: int
    left: int
    top: int
    right: int
    bottom: int


def element(frame: Frame, label: str, body: Sequence[Markup], attributes: str = "") -> Markup:
    """Return the <svg> that scales to its place; `label` describes it to those who cannot see it."""
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"{}>{}</svg>').format(
        frame.width, frame.height, label, attributes, Markup("").join(body)
    )


def scale(low: float, high: float, start: float, end: float, log: bool = False) -> ToPixels:
    """Return the map from values to pixels that takes `low` to `start` and `high` to `end`."""
    if log:
        linear = scale(math.log10(low), math.log10(high), start, end)
        return lambda value: linear(math.log10(value))
    return lambda value: start + (value - low) / (high - low) * (end - start)


def nice_ticks(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """Return about `count` round numbers (1, 2, 2.5 or 5 times a power of ten) that enclose low..high."""
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    if whole:
        step = max(1.0, math.ceil(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def inner_ticks(low: float, high: float, count: int, whole: bool = False) -> list[float]:
    """Return the round numbers that lie within low..high."""
    return [tick for tick in nice_ticks(low, high, count, whole) if low <= tick <= high]


def decades(low: float, high: float) -> list[float]:
    """Return at most about seven powers of ten that enclose low..high."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    stride = math.ceil((last - first) / 6)
    return [10.0**exponent for exponent in range(last, first - stride, -stride)][::-1]


def tick_text(value: float) -> str:
    """Format a tick: 0.25, 1,200, 10⁻⁵."""
    exponent = round(math.log10(abs(value))) if value else 0
    if value and abs(exponent) >= 4:
        superscript = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        mantissa = value / 10.0**exponent
        return f"10{superscript}" if abs(mantissa - 1) < 1e-9 else short(value)
    return f"{value:,.10g}".replace("-", "−")


def rows(frame: Frame, ticks: Sequence[float], to_y: ToPixels) -> list[Markup]:
    """Return a grid line and a number for each tick of the y axis."""
    row = Markup('<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
    number = Markup('<text class="y" x="{}" y="{:.1f}">{}</text>')
    return [
        row.format(frame.left, frame.right, to_y(t), to_y(t)) + number.format(frame.left - 7, to_y(t) + 4, tick_text(t))
        for t in ticks
    ]


def columns(frame: Frame, ticks: Sequence[float], to_x: ToPixels, rules: bool) -> list[Markup]:
    """Return a number for each tick of the x axis, with a grid line above it where there are to be `rules`."""
    column = Markup('<line class="rule" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>')
    number = Markup('<text class="x" x="{:.1f}" y="{}">{}</text>')
    lines = [column.format(to_x(t), to_x(t), frame.top, frame.bottom) if rules else Markup("") for t in ticks]
    return [line + number.format(to_x(t), frame.bottom + 18, tick_text(t)) for line, t in zip(lines, ticks, strict=True)]


def x_title(frame: Frame, text: str, above_edge: int) -> Markup:
    """Return the x axis's title, `above_edge` units above the drawing's lower edge."""
    return Markup('<text class="axis" x="{}" y="{}">{}</text>').format(
        (frame.left + frame.right) / 2, frame.height - above_edge, text
    )


def y_title(frame: Frame, text: str) -> Markup:
    """Return the y axis's title, written upwards along the left edge."""
    middle = (frame.top + frame.bottom) / 2
    return Markup('<text class="axis" x="12" y="{}" transform="rotate(-90 12 {})">{}</text>').format(middle, middle, text)


def polyline(kind: str, points: Sequence[tuple[float, float]]) -> Markup:
    """Return a line of class `kind` through points in pixels."""
    return Markup('<polyline class="{}" points="{}"/>').format(kind, " ".join(f"{x:.1f},{y:.1f}" for x, y in points))


def error_bar(colour: str, x1: float, x2: float, y1: float, y2: float) -> Markup:
    """Return a bar between two points in pixels."""
    bar = Markup('<line class="error" style="--c:{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    return bar.format(colour, x1, x2, y1, y2)
