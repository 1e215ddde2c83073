"""Means over seeds with confidence intervals, correlation, and the Pareto front."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
FEWEST_PAIRS = 3
"""Fewer points are always in line, or nearly so."""

Point = tuple[float, float]


@dataclass(frozen=True)
class SeedMean:
    """Mean of `n` values; the interval is mean - half .. mean + half, and `half` is None for a single value."""

    mean: float
    half: float | None
    n: int

    @property
    def low(self) -> float:
        return self.mean - (self.half or 0.0)

    @property
    def high(self) -> float:
        return self.mean + (self.half or 0.0)


def estimate(values: Iterable[float | None], confidence: float = CONFIDENCE) -> SeedMean | None:
    """Return the mean with half of Student's t interval, t_{n-1} s / sqrt(n); None where nothing finite was measured."""
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None
    if len(known) == 1:
        return SeedMean(known[0], None, 1)
    n = len(known)
    half = student_quantile(n - 1, confidence) * statistics.stdev(known) / math.sqrt(n)
    return SeedMean(statistics.fmean(known), half, n)


def student_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Return the t with P(|T| < t) = `confidence` at `freedom` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1.0 + confidence) / 2.0))


def pareto_front(points: Sequence[Point]) -> list[int]:
    """Return the indices, from left to right, of the points that no other dominates (not larger in both, smaller in one).

    Equal points stand or fall together.
    """
    front: list[int] = []
    lowest, beside = float("inf"), float("-inf")
    for index in sorted(range(len(points)), key=lambda i: points[i]):
        x, y = points[index]
        if y < lowest or (y == lowest and x == beside):
            front.append(index)
            lowest, beside = y, x
    return front


def pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return Pearson's correlation; None for fewer than three points, or when either is constant."""
    if len(x) < FEWEST_PAIRS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])
