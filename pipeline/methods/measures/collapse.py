"""How fast a chain collapses: the growth of a metric per iteration (eq. 3)."""

from __future__ import annotations


def collapse_rate(first: float, last: float, k: int) -> float | None:
    """(FID_k - FID_1) / (k - 1) from FID_1 and FID_k; None at k = 1, where there is no growth yet."""
    return None if k == 1 else (last - first) / (k - 1)
