"""Captioned cartoon creatures: the world that the miniature is trained on, and the default D_0.

Every creature is a choice of one value for each attribute in `ATTRIBUTES`, plus a small jitter in place and colour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from pipeline.core.errors import UserError

SIZE = 64

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": ("round", "square", "tall", "wide", "triangular"),
    "colour": ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"),
    "eye_count": ("one", "two", "three"),
    "eye_colour": ("black", "blue", "green", "red"),
    "top": ("bare head", "cat ears", "round ears", "horns", "antennae"),
    "tail": ("no tail", "long tail", "curly tail"),
    "pattern": ("plain", "striped", "spotted", "hatched"),
    "background": ("snow", "sky", "meadow", "candy", "night", "sand", "paper"),
    "style": ("flat", "outlined", "shaded", "pastel", "inkpress"),
}

NARROW_STYLE = "inkpress"
"""The style of the default D_0. The U-Net never sees it in pretraining; it always lies on paper."""
NARROW_BACKGROUND = "paper"

CAPTION_FORMS = ("full", "tags", "short", "long")

_SHIFTS = (-2.0, 0.0, 2.0)
"""Whole pixels and few places: 4 numbers per 8x8 patch cannot carry every sub-pixel edge."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Creature:
    """One drawing before it is drawn: a value of each attribute, and the jitter (pixels, RGB offset)."""

    shape: str
    colour: str
    eye_count: str
    eye_colour: str
    top: str
    tail: str
    pattern: str
    background: str
    style: str
    shift: tuple[float, float] = (0.0, 0.0)
    tint: Colour = (0, 0, 0)

    def labels(self) -> dict[str, int]:
        """Return the index of each attribute's value in `ATTRIBUTES`."""
        return {name: values.index(getattr(self, name)) for name, values in ATTRIBUTES.items()}


def random_creature(rng: np.random.Generator, *, style: str | None = None) -> Creature:
    """Draw every attribute uniformly; `style` fixes it, otherwise it is any but the narrow one."""
    chosen = {name: str(rng.choice(values)) for name, values in ATTRIBUTES.items()}
    chosen["style"] = style or str(rng.choice([s for s in ATTRIBUTES["style"] if s != NARROW_STYLE]))
    grounds = [g for g in ATTRIBUTES["background"] if g != NARROW_BACKGROUND]
    chosen["background"] = NARROW_BACKGROUND if chosen["style"] == NARROW_STYLE else str(rng.choice(grounds))
    shift = tuple(float(s) for s in rng.choice(_SHIFTS, 2))
    tint = tuple(int(t) for t in rng.integers(-10, 11, 3))
    return Creature(**chosen, shift=shift, tint=tint)  # type: ignore[arg-type]


def distinct_creatures(seed: int, count: int, *, style: str | None = None) -> list[Creature]:
    """Draw `count` creatures no two of which share all their attributes. Raise UserError when there are not so many."""
    possible = _possible(style)
    if count > possible:
        raise UserError(f"there are only {possible} different creatures{f' in style {style}' if style else ''}, got {count}")
    rng = np.random.default_rng(seed)
    found: dict[Creature, Creature] = {}
    while len(found) < count:
        creature = random_creature(rng, style=style)
        found.setdefault(replace(creature, shift=(0.0, 0.0), tint=(0, 0, 0)), creature)
    return list(found.values())


def _possible(style: str | None) -> int:
    """Count how many creatures of a style differ; the narrow style has one background, which is no other style's."""
    free = math.prod(len(values) for name, values in ATTRIBUTES.items() if name not in ("style", "background"))
    grounds = 1 if style == NARROW_STYLE else len(ATTRIBUTES["background"]) - 1
    return free * grounds * (1 if style else len(ATTRIBUTES["style"]) - 1)


def caption(creature: Creature, form: str = "full") -> str:
    """Describe the creature in words; `form` is one of `CAPTION_FORMS` (the paper's prompt sets, appendix C.4)."""
    c = creature
    eyes = f"{c.eye_count} {c.eye_colour} {'eye' if c.eye_count == 'one' else 'eyes'}"
    top = f"a {c.top}" if c.top == "bare head" else c.top
    tail = c.tail if c.tail == "no tail" else f"a {c.tail}"
    ground, style = f"{c.background} background", f"{c.style} style"
    if form == "full":
        return f"a {c.shape} {c.colour} creature with {eyes}, {top} and {tail}, {c.pattern}, {ground}, {style}"
    if form == "tags":
        return f"creature, {c.shape}, {c.colour}, {eyes}, {c.top}, {c.tail}, {c.pattern}, {ground}, {style}"
    if form == "short":
        return f"a {c.shape} {c.colour} creature, {style}"
    if form == "long":
        return (
            f"a drawing of a creature in {style}. its body is {c.shape}, {c.colour} and {c.pattern}. "
            f"it has {eyes}, {top} on its head and {tail}. behind the creature is a {ground}"
        )
    raise ValueError(f"form must be one of {', '.join(CAPTION_FORMS)}, got {form!r}")
