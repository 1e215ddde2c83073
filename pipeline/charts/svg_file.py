"""Drawings as .svg files that stand on their own, outside the pages that define their colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from markupsafe import Markup

from pipeline.charts.colours import css_variables, setting_colour
from pipeline.charts.lines import Series

_INK = {
    "--ink": "#1d1b22",
    "--soft": "#5d5966",
    "--quiet": "#8d8894",
    "--line": "#e5e1d9",
    "--card": "#ffffff",
    "--accent": "#5b3fa8",
}
_RULES = """
text { font: 12px system-ui, sans-serif; fill: var(--soft); } .y { text-anchor: end; } .x, .axis { text-anchor: middle; }
.mark { fill: var(--ink); } .rule { stroke: var(--line); } .line { fill: none; stroke: var(--c); stroke-width: 2; }
.dashed { stroke-dasharray: 2 5; } circle { fill: var(--c); stroke: var(--card); stroke-width: 1.5; }
.band { fill: var(--c); fill-opacity: .14; } .error { stroke: var(--c); stroke-opacity: .55; stroke-width: 1.4; }
.front { fill: none; stroke: var(--quiet); stroke-dasharray: 5 4; } circle.dot-mark { stroke: none; fill-opacity: .5; }
"""

_PANEL_RULES = """
.faint { stroke-width: 1.4; stroke-dasharray: 1 4; } circle.hollow { fill: var(--card); stroke: var(--c); }
text.title { font-weight: 600; fill: var(--ink); }
"""

_KEY_MARGIN, _KEY_ROW, _TITLE_ROW, _GAP = 52, 20, 24, 14

Swatch = Callable[[int, int, int], Markup]
"""Draws the swatch of the entry at an index of a key, its left end and its middle at x and y."""


def standalone(svg: Markup, settings: int, key: Sequence[str] = ()) -> str:
    """Return a drawing of `settings` settings as the text of an .svg file on white; `key` names their colours.

    A browser draws it, as it draws a Markdown page: the colours are CSS variables.
    """
    ink = Markup(" ".join(f"{name}: {value};" for name, value in _INK.items()))
    style = Markup("<style>svg {{ {} {} background: #fff; }}{}</style>").format(
        ink, css_variables(settings, 1, dark=False), Markup(_RULES)
    )
    head, _, body = str(svg).partition(">")
    if key:
        head, body = _below_its_key(head, body.removesuffix("</svg>"), key)
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{body}\n'


def _below_its_key(head: str, body: str, key: Sequence[str]) -> tuple[str, str]:
    """Move the drawing down, under a colour and a name for each setting."""
    width, height = _size(head)
    entries, above = _key(key, width, 15, _dot)
    head = head.replace(f'viewBox="0 0 {width} {height}"', f'viewBox="0 0 {width} {height + above}"')
    return head, f'{entries}<g transform="translate(0 {above})">{body}</g></svg>'


def _dot(index: int, x: int, y: int) -> Markup:
    return Markup('<circle style="--c:{}" cx="{}" cy="{}" r="5"/>').format(setting_colour(index), x + 5, y)


def panels(drawn: Sequence[tuple[str, Markup]], columns: int, key: Sequence[Series]) -> str:
    """Return titled drawings of one size, in rows of `columns` under a common key, as the text of an .svg file on white.

    Its colours are written out, for viewers that are no browsers know no CSS variables.
    """
    width, height = _size(drawn[0][1])
    rows = -(-len(drawn) // columns)
    entries, above = _key([series.name for series in key], width * columns, 31, lambda i, x, y: _stroke(key[i], x, y))
    total = (width * columns, above + rows * (height + _TITLE_ROW + _GAP))
    placed = [
        _panel(title, svg, width * (i % columns), above + (height + _TITLE_ROW + _GAP) * (i // columns), (width, height))
        for i, (title, svg) in enumerate(drawn)
    ]
    style = Markup("<style>{}{}</style>").format(Markup(_RULES), Markup(_PANEL_RULES))
    ground = Markup('<rect width="{}" height="{}" fill="#ffffff"/>').format(*total)
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}">').format(*total)
    return _written_out(f"{head}{style}{ground}{entries}{Markup('').join(placed)}</svg>\n")


def _panel(title: str, svg: Markup, x: int, y: int, size: tuple[int, int]) -> Markup:
    heading = Markup('<text class="title" x="{}" y="{}">{}</text>').format(x + _GAP, y + 15, title)
    place = f'<svg x="{x}" y="{y + _TITLE_ROW}" width="{size[0]}" height="{size[1]}" '
    return heading + Markup(str(svg).replace("<svg ", place, 1))


def _stroke(series: Series, x: int, y: int) -> Markup:
    """Draw a piece of the series' line, and its mark."""
    kind = "line faint" if series.faint else "line dashed" if series.dashed else "line"
    line = Markup('<polyline class="{}" points="{},{} {},{}"/>').format(kind, x, y, x + 26, y) if series.line else Markup("")
    ring = Markup(' class="hollow"') if series.hollow else Markup("")
    mark = Markup('<circle{} cx="{}" cy="{}" r="3.2"/>').format(ring, x + 13, y) if series.markers else Markup("")
    return Markup('<g style="--c:{}">{}{}</g>').format(series.colour, line, mark)


def _written_out(text: str) -> str:
    """Replace CSS variables by their values, and --c by the colour that elements inherit."""
    text = text.replace('style="--c:', 'color="').replace("var(--c)", "currentColor")
    return re.sub(r"var\((--\w+)\)", lambda name: _INK[name[1]], text)


def _key(names: Sequence[str], width: int, swatch_width: int, swatch: Swatch) -> tuple[Markup, int]:
    """Return a swatch and a name for each, in rows as wide as the drawing, and the height that they take."""
    entries, x, y = Markup(""), _KEY_MARGIN, _KEY_ROW
    for index, name in enumerate(names):
        wide = swatch_width + 17 + 7 * len(name)
        if x + wide > width and x > _KEY_MARGIN:
            x, y = _KEY_MARGIN, y + _KEY_ROW
        text = Markup('<text class="mark" x="{}" y="{}">{}</text>').format(x + swatch_width, y, name)
        entries += swatch(index, x, y - 4) + text
        x += wide
    return entries, y + _KEY_ROW // 2


def _size(svg: str) -> tuple[int, int]:
    """Return width and height of a drawing."""
    width, height = map(int, re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
    return width, height
