"""Guidance in an interval of noise levels only."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.errors import UserError
from pipeline.methods.schedules import schedule


def fault_of_interval(low: float, high: float) -> str | None:
    return f"interval_low must be below interval_high, got {low} and {high}" if low >= high else None


@schedule("interval", reads=("cfg", "interval_low", "interval_high"))
@dataclass(frozen=True)
class Interval:
    """s where low < sigma <= high, 1 elsewhere (Kynkaanniemi 2024, eq. 6): in noise levels, so that T does not matter."""

    s: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if fault := fault_of_interval(self.low, self.high):
            raise UserError(fault)

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.s if self.low < sigma <= self.high else 1.0

    def describe(self) -> str:
        return f"interval({self.s:g} for {self.low:g} < sigma <= {self.high:g})"

    def in_words(self) -> str:
        return f"guidance {self.s:g} at noise levels from {self.low:g} to {self.high:g} only"
