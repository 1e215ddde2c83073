"""Guidance that falls along a straight line."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.methods.schedules import progress, schedule


@schedule("linear", reads=("cfg", "cfg_end"))
@dataclass(frozen=True)
class Linear:
    """A straight line from s0 at the first step to `end` at the last (Chain of Diffusion, appendix F)."""

    s0: float
    end: float

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.s0 + (self.end - self.s0) * progress(step, steps)

    def describe(self) -> str:
        return f"linear({self.s0:g} to {self.end:g})"

    def in_words(self) -> str:
        return f"guidance falling in a line from {self.s0:g} to {self.end:g}"
