"""A mean over seeds with its confidence interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

CONFIDENCE = 0.95


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
    """Mean and half the width of Student's t interval, t_{n-1} s / sqrt(n); None where nothing finite was measured."""
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None
    if len(known) == 1:
        return SeedMean(known[0], None, 1)
    n = len(known)
    half = student_quantile(n - 1, confidence) * statistics.stdev(known) / math.sqrt(n)
    return SeedMean(statistics.fmean(known), half, n)


def student_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The t with P(|T| < t) = `confidence` at `freedom` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1.0 + confidence) / 2.0))
