"""One guidance scale at every step."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.methods.schedules import schedule


@schedule("constant", reads=("cfg",))
@dataclass(frozen=True)
class Constant:
    """s_t = s."""

    s: float

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.s

    def describe(self) -> str:
        return f"constant({self.s:g})"

    def in_words(self) -> str:
        return f"guidance {self.s:g} at every step"
