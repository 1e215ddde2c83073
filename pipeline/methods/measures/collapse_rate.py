"""How fast a chain collapses: the growth of FID per iteration (eq. 3)."""

from __future__ import annotations

from pipeline.methods.measures import MeasuredSets, measure


def collapse_rate(first: float, last: float, k: int) -> float | None:
    """Return (FID_k - FID_1) / (k - 1) from FID_1 and FID_k; None at k = 1, where there is no growth yet."""
    return None if k == 1 else (last - first) / (k - 1)


@measure(
    "collapse_rate",
    title="Collapse rate so far",
    note="(FID_k - FID_1) / (k - 1): what an iteration adds to FID",
    better="lower",
    source="eq. 3",
    pages=("summary",),
)
def _collapse_rate(sets: MeasuredSets) -> float | None:
    return collapse_rate(sets.found["fid_1"], sets.found["fid"], sets.k)
