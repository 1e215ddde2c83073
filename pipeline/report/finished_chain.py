"""Everything that is known about a finished chain, read from its files; a sentence where one is of an older version."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.chain.image_sets import read_features, read_manifest
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_file
from pipeline.core.guards import fault_of_text, short_repr
from pipeline.core.json_files import read_json
from pipeline.core.tensors import read_array
from pipeline.methods.measures import MEASURES

LOSS_POINTS = 40
"""A loss curve is averaged over this many stretches of equal length: smooth enough to read, small enough to show."""

REAL_ANALYSIS = (
    *(f"spectrum.{name}" for name in ("frequencies", "radial", "angular")),
    *(f"fingerprint.{name}" for name in ("denoiser", "power", "frequencies", "radial")),
    "colour.mean",
)
ANALYSIS = (*REAL_ANALYSIS, "diff", *(f"latents.{name}" for name in ("centres", "density", "gaussian", "variance", "kurtosis")))
"""What the page shows of analysis/; a file that lacks one of these is of an older version."""

_IN_WORDS = frozenset({"feature", "fingerprint.denoiser"})
"""The keys that are read whose values are no numbers."""

_NEVER_NULL = frozenset({"fid", "fid_1", "fid_floor", "fid_floor_n", "recall", "precision"})

_MISSING = object()


def metric_keys(k: int) -> tuple[str, ...]:
    """Return what metrics/k.json must have for the page: all measures, and for k >= 1 what they were computed with."""
    return (*(key for key, measure in MEASURES.items() if measure.of(k)), *(("feature",) if k else ()))


@dataclass(frozen=True)
class Iteration:
    """One k >= 1: metrics/k.json, analysis/k.json, and the loss as (step, mean loss) points."""

    k: int
    metrics: dict[str, Any]
    analysis: dict[str, Any]
    losses: list[tuple[float, float]]


@dataclass(frozen=True)
class LineageRow:
    """Where D_k and M_k come from: sha256 of the manifest, the training list and the LoRA (k = 0: of the base model)."""

    k: int
    images: int
    data: str
    training_set: str | None
    model: str
    trainer: str


@dataclass(frozen=True)
class Fingerprint:
    """Fingerprint of D_k: the mean power spectrum of the denoising residuals, and its autocorrelation; each [S,S] float32."""

    spectrum: np.ndarray
    autocorrelation: np.ndarray


@dataclass(frozen=True)
class FinishedChain:
    """A whole chain: `real` and `real_analysis` are metrics/0.json and analysis/0.json; for k = 0..K, `manifests`[k] has
    the rows of D_k, `features`(k) reads their features [N_k,d] in that order (all at once could fill the memory), and
    `fingerprints`[k] is the fingerprint."""

    real: dict[str, Any]
    real_analysis: dict[str, Any]
    iterations: list[Iteration]
    features: Callable[[int], np.ndarray]
    fingerprints: list[Fingerprint]
    manifests: list[list[dict[str, Any]]]
    lineage: list[LineageRow]

    @property
    def last(self) -> Iteration:
        return self.iterations[-1]


def read_finished_chain(layout: Layout, last: int) -> FinishedChain:
    """Read k = 0..`last`. Raise UserError when a file is missing, damaged, or of an older version of the pipeline."""
    manifests = [read_manifest(layout, k) for k in range(last + 1)]
    return FinishedChain(
        real=read_keys(layout.metrics(0), metric_keys(0)),
        real_analysis=read_keys(layout.analysis(0), REAL_ANALYSIS),
        iterations=[_iteration(layout, k) for k in range(1, last + 1)],
        features=lambda k: read_features(layout, k, len(manifests[k])),
        fingerprints=[_maps(layout, k) for k in range(last + 1)],
        manifests=manifests,
        lineage=[_lineage(layout, k, len(manifest)) for k, manifest in enumerate(manifests)],
    )


def read_keys(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Read a JSON object that has all `keys`, where "a.b" is b in a. Raise UserError when it is missing or lacks one."""
    value = read_json(path)
    found = {key: reduce(_inner, key.split("."), value) for key in keys}
    if missing := [key for key, inner in found.items() if inner is _MISSING]:
        raise UserError(f"{path} lacks {', '.join(missing)}: an older version made it; make it again with 'dvc repro'")
    for key, inner in found.items():
        if not _fits(key, inner):
            kind = "text" if key in _IN_WORDS else "a number"
            remedy = "restore it with 'dvc checkout', or make it again with 'dvc repro'"
            raise UserError(f"{path}: {key} must be {kind}, got {short_repr(inner)}; {remedy}")
    return value


def _inner(value: Any, name: str) -> Any:
    return value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING


def _fits(key: str, value: Any) -> bool:
    if key in _IN_WORDS:
        return _is_words(value)
    return _is_numbers(value) or (value is None and key not in _NEVER_NULL)


def _is_numbers(value: Any) -> bool:
    """Is it a finite number, or lists and mappings of such?"""
    if isinstance(value, list):
        return all(map(_is_numbers, value))
    if isinstance(value, Mapping):
        return all(map(_is_numbers, value.values()))
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _is_words(value: Any) -> bool:
    """Is it text that can be shown, or a mapping to such, with whole numbers among it?"""
    if isinstance(value, Mapping):
        return all(isinstance(part, int) or _is_words(part) for part in value.values())
    return isinstance(value, str) and fault_of_text(value) is None


def _iteration(layout: Layout, k: int) -> Iteration:
    metrics, analysis = read_keys(layout.metrics(k), metric_keys(k)), read_keys(layout.analysis(k), ANALYSIS)
    return Iteration(k, metrics, analysis, smooth(read_losses(layout, k)))


def _maps(layout: Layout, k: int) -> Fingerprint:
    path = layout.analysis_maps(k)
    return Fingerprint(read_array(path, "residual_spectrum"), read_array(path, "autocorrelation"))


def read_losses(layout: Layout, k: int) -> list[tuple[float, float]]:
    """Read models/M_k/loss.csv -> [(step, loss)]. Raise UserError when it is missing or not a table of numbers."""
    path = layout.losses(k)
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        points = [(float(row["step"]), float(row["loss"])) for row in rows]
        if not np.isfinite(points).all():
            raise ValueError("a step or loss is not finite")
        return points
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run 'dvc repro' or fetch it with 'dvc pull'") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path} must have the columns step and loss, both numbers; restore it with 'dvc checkout'") from error


def smooth(points: list[tuple[float, float]], count: int = LOSS_POINTS) -> list[tuple[float, float]]:
    """Return means of x and y over at most `count` consecutive stretches of equal length."""
    edges = [round(i * len(points) / count) for i in range(count + 1)]
    stretches = [points[a:b] for a, b in zip(edges, edges[1:], strict=False) if b > a]
    return [(_mean([x for x, _ in stretch]), _mean([y for _, y in stretch])) for stretch in stretches]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _lineage(layout: Layout, k: int, images: int) -> LineageRow:
    training_set = sha256_file(layout.training_set(k)) if layout.training_set(k).is_file() else None
    data = sha256_file(layout.manifest(k))
    if k == 0:
        base = read_json(layout.base_record(), {"model": str, "sha256": str})
        vae = f" with the VAE {base['vae']}" if base.get("vae") else ""
        return LineageRow(k, images, data, None, base["sha256"], f"{base['model']}{vae}")
    if not layout.lora(k).is_file():
        raise UserError(f"{layout.lora(k)} does not exist; run 'dvc repro' or fetch it with 'dvc pull'")
    return LineageRow(k, images, data, training_set, sha256_file(layout.lora(k)), _trainer(layout, k))


def _trainer(layout: Layout, k: int) -> str:
    """Return the trainer and its version as models/M_k/lineage.json has them; empty where it has not."""
    path = layout.lineage(k)
    known = read_json(path) if path.is_file() else {}
    commit = known.get("sd_scripts_commit")
    return " ".join(str(part) for part in (known.get("trainer"), f"sd-scripts {commit[:12]}" if commit else None) if part)
