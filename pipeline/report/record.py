"""Everything that is known about a finished chain, read from its files."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UserError
from pipeline.measure.images import read_manifest
from pipeline.paths import Layout
from pipeline.storage import read_json, sha256_file

LOSS_POINTS = 40
"""A loss curve is averaged over this many stretches of equal length: smooth enough to read, small enough to show."""


@dataclass(frozen=True)
class Iteration:
    """One k >= 1: metrics/k.json, analysis/k.json, and the loss as (step, mean loss) points."""

    k: int
    metrics: dict[str, Any]
    analysis: dict[str, Any]
    losses: list[tuple[float, float]]


@dataclass(frozen=True)
class Lineage:
    """Where D_k and M_k come from: sha256 of the manifest, the training list and the LoRA (k = 0: of the base model)."""

    k: int
    images: int
    data: str
    training_set: str | None
    model: str
    trainer: str


@dataclass(frozen=True)
class Record:
    """A whole chain: `real` is metrics/0.json, `manifests`[k] the rows of D_k for k = 0..K."""

    real: dict[str, Any]
    iterations: list[Iteration]
    manifests: list[list[dict[str, Any]]]
    lineage: list[Lineage]

    @property
    def last(self) -> Iteration:
        return self.iterations[-1]


def read_record(layout: Layout, last: int) -> Record:
    """Read k = 0..`last`. Raises UserError when a file is missing or damaged."""
    manifests = [read_manifest(layout, k) for k in range(last + 1)]
    iterations = [
        Iteration(k, read_json(layout.metrics(k)), read_json(layout.analysis(k)), smooth(read_losses(layout, k)))
        for k in range(1, last + 1)
    ]
    lineage = [_lineage(layout, k, len(manifests[k])) for k in range(last + 1)]
    return Record(read_json(layout.metrics(0)), iterations, manifests, lineage)


def read_losses(layout: Layout, k: int) -> list[tuple[float, float]]:
    """models/M_k/loss.csv -> [(step, loss)]. Raises UserError when it is missing or not a table of numbers."""
    path = layout.losses(k)
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        return [(float(row["step"]), float(row["loss"])) for row in rows]
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run 'dvc repro' or fetch it with 'dvc pull'") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} must have the columns step and loss, both numbers; restore it with 'dvc checkout'") from error


def smooth(points: list[tuple[float, float]], count: int = LOSS_POINTS) -> list[tuple[float, float]]:
    """Means of x and y over at most `count` consecutive stretches of equal length."""
    edges = [round(i * len(points) / count) for i in range(count + 1)]
    stretches = [points[a:b] for a, b in zip(edges, edges[1:], strict=False) if b > a]
    return [(_mean([x for x, _ in stretch]), _mean([y for _, y in stretch])) for stretch in stretches]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _lineage(layout: Layout, k: int, images: int) -> Lineage:
    training_set = sha256_file(layout.training_set(k)) if layout.training_set(k).is_file() else None
    data = sha256_file(layout.manifest(k))
    if k == 0:
        base = read_json(layout.base_record())
        vae = f" with the VAE {base['vae']}" if base.get("vae") else ""
        return Lineage(k, images, data, None, base["sha256"], f"{base['model']}{vae}")
    if not layout.lora(k).is_file():
        raise UserError(f"{layout.lora(k)} does not exist; run 'dvc repro' or fetch it with 'dvc pull'")
    return Lineage(k, images, data, training_set, sha256_file(layout.lora(k)), _trainer(layout, k))


def _trainer(layout: Layout, k: int) -> str:
    """The trainer and its version as models/M_k/lineage.json has them; empty where it has not."""
    path = layout.model(k) / "lineage.json"
    known = read_json(path) if path.is_file() else {}
    commit = known.get("sd_scripts_commit")
    return " ".join(str(part) for part in (known.get("trainer"), f"sd-scripts {commit[:12]}" if commit else None) if part)
