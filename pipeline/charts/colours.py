"""Colours of the settings, and drawings that stand on their own outside the page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

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

_KEY_MARGIN, _KEY_ROW = 52, 20


def colour(index: int) -> str:
    """The CSS colour of the setting at `index`, a variable that the page or the file defines."""
    return f"var(--s{index})"


def setting_colours(count: int, dark: bool) -> list[str]:
    """CSS colours of `count` settings: hues at equal distances, light and dark in turn so that neighbours differ."""
    levels = (0.70, 0.83) if dark else (0.50, 0.66)
    return [f"oklch({levels[i % 2]} 0.15 {(295 + 360 * i / max(count, 1)) % 360:.1f})" for i in range(count)]


def variables(settings: int, last: int, dark: bool) -> Markup:
    """CSS declarations of the settings' colours --s0.. and the iterations' --k1..; --k0 is the page's own."""
    names = [f"--s{i}: {value};" for i, value in enumerate(setting_colours(settings, dark))]
    names += [f"--k{k}: {value};" for k, value in enumerate(palette(last, dark), 1)]
    return Markup(" ".join(names))


def standalone(svg: Markup, settings: int, key: Sequence[str] = ()) -> str:
    """A drawing of `settings` settings as the text of an .svg file on white, for a Markdown page; `key` names their colours."""
    ink = Markup(" ".join(f"{name}: {value};" for name, value in _INK.items()))
    style = Markup("<style>svg {{ {} {} background: #fff; }}{}</style>").format(
        ink, variables(settings, 1, dark=False), Markup(_RULES)
    )
    head, _, body = str(svg).partition(">")
    if key:
        head, body = _below_its_key(head, body.removesuffix("</svg>"), key)
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{body}\n'


def _below_its_key(head: str, body: str, key: Sequence[str]) -> tuple[str, str]:
    """The drawing moved down, under a colour and a name for each setting, in rows as wide as the drawing."""
    width, height = map(int, re.findall(r'viewBox="0 0 (\d+) (\d+)"', head)[0])
    entries, x, y = Markup(""), _KEY_MARGIN, _KEY_ROW
    for index, name in enumerate(key):
        if x + _key_width(name) > width and x > _KEY_MARGIN:
            x, y = _KEY_MARGIN, y + _KEY_ROW
        entries += Markup('<circle style="--c:{}" cx="{}" cy="{}" r="5"/><text class="mark" x="{}" y="{}">{}</text>').format(
            colour(index), x + 5, y - 4, x + 15, y, name
        )
        x += _key_width(name)
    above = y + _KEY_ROW // 2
    head = head.replace(f'viewBox="0 0 {width} {height}"', f'viewBox="0 0 {width} {height + above}"')
    return head, f'{entries}<g transform="translate(0 {above})">{body}</g></svg>'


def _key_width(name: str) -> int:
    return 32 + 7 * len(name)


def palette(last: int, dark: bool) -> list[str]:
    """CSS colours of k = 1..`last`: violet over red to amber, in equal steps of lightness; lighter on a dark page."""
    low, high = (0.56, 0.87) if dark else (0.36, 0.77)
    shares = [i / max(last - 1, 1) for i in range(last)]
    return [f"oklch({low + (high - low) * t:.3f} 0.16 {(290 + 145 * t) % 360:.1f})" for t in shares]
