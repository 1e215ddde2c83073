"""The measured power S_k of runs: of a chain's folder, or of revisions and experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json
from pipeline.versioning.dvc_lock import chain_iterations

if TYPE_CHECKING:
    from pipeline.studies.compare.groups import Setting


@dataclass(frozen=True)
class MeasuredSetting:
    """Runs of one setting: S_start.. of each in `powers`, and `deviation`, the deviation of S over the images of D_start (the
    root mean square over the runs; None where the metrics, of an older version, have none)."""

    name: str
    start: int
    runs: tuple[str, ...]
    powers: tuple[tuple[float, ...], ...]
    deviation: float | None


def mean_over_runs(powers: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean at each iteration over the runs that reached it."""
    longest = max(map(len, powers))
    return [float(np.mean([run[i] for run in powers if len(run) > i])) for i in range(longest)]


def read_folder(root: Path, start: int) -> MeasuredSetting:
    """Read the chain in a folder, as far as metrics/k.json exist. Raise UserError for none or one without power."""
    layout, ks = Layout(root), chain_iterations(root)
    found: list[Mapping[str, Any]] = []
    while layout.metrics(k := start + len(found)).is_file() and (ks is None or k in ks):
        found.append(read_json(layout.metrics(start + len(found))))
    if not found:
        raise UserError(f"{layout.metrics(start)} does not exist; run the chain ('dvc repro') or fetch it ('dvc pull')")
    name = "this chain" if root == Path() else root.name
    return _measured(name, start, [str(layout.root / "metrics")], [found])


def read_settings(settings: Sequence[Setting], start: int) -> list[MeasuredSetting]:
    """Read settings of `redifine compare`, with the runs of each. Raise UserError where a run has no power."""
    return [
        _measured(setting.name, start, [run.name for run in setting.runs], [run.metrics[start:] for run in setting.runs])
        for setting in settings
    ]


def _measured(name: str, start: int, runs: Sequence[str], metrics: Sequence[Sequence[Mapping[str, Any]]]) -> MeasuredSetting:
    powers = [
        tuple(_power(entry, run, k) for k, entry in enumerate(chain, start)) for run, chain in zip(runs, metrics, strict=True)
    ]
    return MeasuredSetting(name, start, tuple(runs), tuple(powers), _spread([chain[0] for chain in metrics if chain]))


def _power(metrics: Mapping[str, Any], run: str, k: int) -> float:
    found = metrics.get("power") if isinstance(metrics, dict) else None
    if not isinstance(found, int | float):
        raise UserError(f"{run}: k = {k} has no power; measure the iteration again ('redifine measure --k {k}')")
    return float(found)


def _spread(first: Sequence[Mapping[str, Any]]) -> float | None:
    known = [float(value) for metrics in first if isinstance(value := metrics.get("power_spread"), int | float) and value > 0]
    return math.sqrt(sum(value**2 for value in known) / len(known)) if known else None
