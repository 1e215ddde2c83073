"""Render creatures: features are bold (about 6 pixels at 64x64) so that they survive a VAE of factor 8."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.inputs.creatures import ATTRIBUTES, SIZE, Colour, Creature, caption, distinct_creatures

_SUPERSAMPLING = 4

_BODY = {
    "red": (214, 48, 49), "orange": (240, 134, 30), "yellow": (240, 206, 50), "green": (52, 158, 76),
    "blue": (48, 104, 210), "purple": (128, 66, 180), "pink": (240, 134, 176), "brown": (128, 82, 44),
}  # fmt: skip
_EYES = {"black": (16, 16, 20), "blue": (24, 92, 235), "green": (14, 150, 50), "red": (222, 22, 30)}
_GROUND = {
    "snow": (248, 248, 250), "sky": (160, 210, 246), "meadow": (184, 228, 178), "candy": (240, 194, 232),
    "night": (30, 28, 44), "sand": (234, 212, 160), "paper": (248, 236, 206),
}  # fmt: skip
_INK = (34, 40, 78)

Points = list[tuple[float, float]]


def draw(creature: Creature) -> np.ndarray:
    """Render -> [64,64,3] uint8 RGB, antialiased by 4x supersampling."""
    return _Drawing(creature).render()


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def _palette(c: Creature) -> tuple[Colour, Colour, Colour | None]:
    """Return (body, second colour of pattern and features, outline or None) of a creature in its style."""
    body: Colour = tuple(min(255, max(0, v + t)) for v, t in zip(_BODY[c.colour], c.tint, strict=True))  # type: ignore[assignment]
    if c.style == "pastel":
        body = _mix(body, (255, 255, 255), 0.45)
        return body, _mix(body, (255, 255, 255), 0.6), _mix(body, (90, 90, 110), 0.75)
    if c.style == "inkpress":
        body = _mix(body, (150, 132, 118), 0.38)
        return body, _mix(body, _INK, 0.62), _INK
    if c.style == "outlined":
        return body, _mix(body, (0, 0, 0), 0.5), (14, 12, 16)
    return body, _mix(body, (255, 255, 255), 0.55), None


class _Drawing:
    """One creature on its canvas; lengths are in pixels of the 64x64 image, the origin is the body's centre."""

    def __init__(self, creature: Creature) -> None:
        self.c = creature
        self.body, self.second, self.outline = _palette(creature)
        self.width = {"outlined": 2.2, "inkpress": 3.0, "pastel": 1.6}.get(creature.style, 0.0)
        self.image = Image.new("RGB", (SIZE * _SUPERSAMPLING,) * 2, self._ground())
        self.pen = ImageDraw.Draw(self.image)
        self.half = {"round": (17, 17), "square": (16, 16), "tall": (12, 20), "wide": (20, 13),
                     "triangular": (20, 18)}[creature.shape]  # fmt: skip

    def render(self) -> np.ndarray:
        self._tail()
        self._top()
        self._feet()
        self._torso()
        self._eyes()
        self._mouth()
        return np.asarray(self.image.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.uint8)

    def _ground(self) -> Colour:
        return tuple(min(255, max(0, v + t // 2)) for v, t in zip(_GROUND[self.c.background], self.c.tint, strict=True))  # type: ignore[return-value]

    def _at(self, x: float, y: float) -> tuple[float, float]:
        room_for_tail = 0.0 if self.c.tail == "no tail" else -3.5
        centre = (SIZE / 2 + room_for_tail + self.c.shift[0], SIZE / 2 + 4 + self.c.shift[1])
        return (
            (centre[0] + x) * _SUPERSAMPLING,
            (centre[1] + y) * _SUPERSAMPLING,
        )

    def _polygon(self, points: Points, fill: Colour) -> None:
        corners = [self._at(x, y) for x, y in points]
        self.pen.polygon(corners, fill=fill)
        if self.outline is not None:
            self._line(points + points[:2], self.outline, self.width)

    def _line(self, points: Points, fill: Colour, width: float) -> None:
        self.pen.line(
            [self._at(x, y) for x, y in points],
            fill=fill,
            width=max(1, round(width * _SUPERSAMPLING)),
            joint="curve",
        )

    def _ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour, *, outlined: bool = True) -> None:
        (left, above), (right, below) = self._at(x - rx, y - ry), self._at(x + rx, y + ry)
        rim = self.outline if outlined else None
        width = round(self.width * _SUPERSAMPLING) if rim else 0
        self.pen.ellipse((left, above, right, below), fill=fill, outline=rim, width=width)

    def _stroke(self, points: Points, fill: Colour, width: float) -> None:
        """Draw a limb: a line of the given width, with the style's outline around it."""
        if self.outline is not None:
            self._line(points, self.outline, width + 2 * self.width)
        self._line(points, fill, width)

    def _tail(self) -> None:
        side = self.half[0] * (0.72 if self.c.shape == "triangular" else 0.95)
        if self.c.tail == "long tail":
            self._stroke([(side - 6, 10), (side + 4, 8), (side + 8, 0), (side + 8, -12)], self.body, 5.0)
        elif self.c.tail == "curly tail":
            turn = [math.radians(a) for a in range(120, 500, 20)]
            self._stroke([(side + 5 + 5.5 * math.cos(a), 8 + 5.5 * math.sin(a)) for a in turn], self.body, 4.0)

    def _top(self) -> None:
        reach, height = self.half
        across = {"tall": 8.0, "wide": 13.0, "triangular": 7.0}.get(self.c.shape, 11.0)
        base = -height * {"square": 0.95, "triangular": 0.55}.get(self.c.shape, 0.72)
        for side in (-1, 1):
            x = across * side
            if self.c.top == "cat ears":
                self._polygon([(x - 6, base + 4), (x + side * 2, base - 12), (x + 6, base + 4)], self.body)
            elif self.c.top == "round ears":
                self._ellipse(x, base - 3, 6.5, 6.5, self.body)
            elif self.c.top == "horns":
                ivory = _mix((252, 244, 214), self.body, 0.12)
                self._polygon([(x - 4, base + 3), (x + side * 8, base - 10), (x + 4, base + 3)], ivory)
            elif self.c.top == "antennae":
                stalk = self.outline or _mix(self.body, (0, 0, 0), 0.35)
                self._line([(x * 0.6, base + 4), (x, base - 9)], stalk, 2.4)
                self._ellipse(x, base - 10, 4.4, 4.4, self.second)

    def _feet(self) -> None:
        reach, height = self.half
        for side in (-1, 1):
            self._ellipse(side * reach * 0.5, height - 0.5, 5.5, 3.6, _mix(self.body, (0, 0, 0), 0.15))

    def _outline_points(self) -> Points:
        rx, ry = self.half
        if self.c.shape == "square":
            corner = 4.0
            arcs = [(rx - corner, ry - corner, 0), (-rx + corner, ry - corner, 90),
                    (-rx + corner, -ry + corner, 180), (rx - corner, -ry + corner, 270)]  # fmt: skip
            return [
                (x + corner * math.cos(math.radians(a0 + a)), y + corner * math.sin(math.radians(a0 + a)))
                for x, y, a0 in arcs
                for a in range(0, 91, 15)
            ]
        if self.c.shape == "triangular":
            return [(0, -ry - 3), (rx, ry), (-rx, ry)]
        return [(rx * math.cos(a), ry * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 60, endpoint=False)]

    def _torso(self) -> None:
        corners = [self._at(x, y) for x, y in self._outline_points()]
        mask = Image.new("1", self.image.size)
        ImageDraw.Draw(mask).polygon(corners, fill=1)
        skin = Image.new("RGB", self.image.size, self.body)
        self.image.paste(self._patterned(skin), mask=mask)
        if self.outline is not None:
            self._line(self._outline_points() + self._outline_points()[:2], self.outline, self.width)

    def _patterned(self, skin: Image.Image) -> Image.Image:
        canvas, self.image, self.pen = self.image, skin, ImageDraw.Draw(skin)
        if self.c.style == "shaded":
            self.pen.rectangle((*self._at(-40, 6), *self._at(40, 40)), fill=_mix(self.body, (0, 0, 0), 0.28))
        if self.c.pattern == "striped":
            for y in range(-26, 30, 9):
                self._line([(-40, y), (40, y)], self.second, 4.2)
        elif self.c.pattern == "spotted":
            for x, y in ((-11, -10), (11, -12), (-13, 9), (12, 9), (0, 13), (0, -16), (-21, 2), (21, 0)):
                self._ellipse(x, y, 3.8, 3.8, self.second, outlined=False)
        elif self.c.pattern == "hatched":
            for x in range(-60, 60, 10):
                self._line([(x, 30), (x + 60, -30)], self.second, 3.8)
        self.image, self.pen = canvas, ImageDraw.Draw(canvas)
        return skin

    def _eyes(self) -> None:
        y = 4.0 if self.c.shape == "triangular" else -3.0
        places, radius = {"one": ((0.0,), 8.5), "two": ((-7.0, 7.0), 6.4), "three": ((-9.6, 0.0, 9.6), 4.9)}[self.c.eye_count]
        for x in places:
            drop = 2.5 if (self.c.eye_count == "three" and x != 0.0) else 0.0
            self._ellipse(x, y + drop, radius, radius, (252, 252, 252), outlined=False)
            iris = radius * 0.68
            self._ellipse(x, y + drop, iris, iris, _EYES[self.c.eye_colour], outlined=False)

    def _mouth(self) -> None:
        y = 13.5 if self.c.shape == "triangular" else {"wide": 7.5}.get(self.c.shape, 9.5)
        self._line([(-4, y), (0, y + 2), (4, y)], (20, 16, 20), 2.2)


def write_folder(folder: Path, count: int, seed: int, style: str | None = None) -> None:
    """Draw `count` creatures into `folder`, each as a .png with its caption in a .txt beside it."""
    if style is not None and style not in ATTRIBUTES["style"]:
        raise UserError(f"--style must be one of {', '.join(ATTRIBUTES['style'])}, got {style!r}")
    for i, creature in enumerate(distinct_creatures(seed, count, style=style)):
        write_bytes(folder / f"creature_{i:05d}.png", encode_png(draw(creature)))
        write_text(folder / f"creature_{i:05d}.txt", caption(creature) + "\n")
