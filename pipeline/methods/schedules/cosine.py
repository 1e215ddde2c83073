"""Guidance that falls along half a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.methods.schedules import progress, schedule


@schedule("cosine", reads=("cfg", "cfg_end"))
@dataclass(frozen=True)
class Cosine:
    """Half a cosine from s0 at the first step to `end` at the last."""

    s0: float
    end: float

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.end + (self.s0 - self.end) * (1 + math.cos(math.pi * progress(step, steps))) / 2

    def describe(self) -> str:
        return f"cosine({self.s0:g} to {self.end:g})"

    def in_words(self) -> str:
        return f"guidance falling along a cosine from {self.s0:g} to {self.end:g}"
