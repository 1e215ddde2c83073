"""Colours of settings and iterations."""

from __future__ import annotations

from markupsafe import Markup

PRINT_COLOURS = (
    "#7b3fa0", "#c9403b", "#d98a1c", "#2f7f86", "#4a5fb0", "#7a8b2a", "#b0508f", "#5a4a42", "#3f9fd0", "#8a8a8a",
)  # fmt: skip
"""For drawings that are no part of a page, in turn."""


def setting_colour(index: int) -> str:
    """Return the CSS colour of the setting at `index`, a variable that the page or the file defines."""
    return f"var(--s{index})"


def setting_colours(count: int, dark: bool) -> list[str]:
    """Return CSS colours of `count` settings: hues at equal distances, light and dark in turn so that neighbours differ."""
    levels = (0.70, 0.83) if dark else (0.50, 0.66)
    return [f"oklch({levels[i % 2]} 0.15 {(295 + 360 * i / max(count, 1)) % 360:.1f})" for i in range(count)]


def css_variables(settings: int, last: int, dark: bool) -> Markup:
    """Return the CSS declarations of the settings' colours --s0.. and the iterations' --k1..; --k0 is the page's own."""
    names = [f"--s{i}: {value};" for i, value in enumerate(setting_colours(settings, dark))]
    names += [f"--k{k}: {value};" for k, value in enumerate(iteration_colours(last, dark), 1)]
    return Markup(" ".join(names))


def iteration_colours(last: int, dark: bool) -> list[str]:
    """Return CSS colours of k = 1..`last`: violet over red to amber, in equal steps of lightness; lighter on a dark page."""
    low, high = (0.56, 0.87) if dark else (0.36, 0.77)
    shares = [i / max(last - 1, 1) for i in range(last)]
    return [f"oklch({low + (high - low) * t:.3f} 0.16 {(290 + 145 * t) % 360:.1f})" for t in shares]
