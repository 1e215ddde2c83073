"""Guidance that falls exponentially: ReDiFine's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.methods.schedules import schedule


@schedule("exponential", reads=("cfg", "cfg_decay"))
@dataclass(frozen=True)
class Exponential:
    """s_t = s0 exp(-alpha t / T): ReDiFine's schedule (Chain of Diffusion, sec. 5)."""

    s0: float
    alpha: float

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.s0 * math.exp(-self.alpha * step / steps)

    def describe(self) -> str:
        return f"exponential({self.s0:g}, decay {self.alpha:g})"

    def in_words(self) -> str:
        return f"guidance falling exponentially from {self.s0:g} (decay {self.alpha:g})"
