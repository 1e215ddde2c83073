"""The measured power S_k of a run, from metrics/k.json."""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.paths import Layout
from pipeline.storage import read_json


def read_powers(layout: Layout, start: int = 0) -> list[float]:
    """S_start..S_K, as far as metrics/k.json exist without a gap. Raises UserError when there is none, or no power in one."""
    powers = []
    k = start
    while layout.metrics(k).is_file():
        metrics = read_json(layout.metrics(k))
        if not isinstance(metrics, dict) or not isinstance(metrics.get("power"), int | float):
            raise UserError(f"{layout.metrics(k)} has no power; measure the iteration again ('redifine measure --k {k}')")
        powers.append(float(metrics["power"]))
        k += 1
    if not powers:
        raise UserError(f"{layout.metrics(start)} does not exist; run the chain ('dvc repro') or fetch it ('dvc pull')")
    return powers


def read_spread(layout: Layout, k: int) -> float | None:
    """Standard deviation of S over the images of D_k; None where the metrics, of an older version, have none."""
    spread = read_json(layout.metrics(k)).get("power_spread")
    return float(spread) if isinstance(spread, int | float) and spread > 0 else None
