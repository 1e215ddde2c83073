"""One finished chain: parameters and metrics[k] for k = 0..K, images and features when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.chain.image_sets import MANIFEST_KEYS, check_features
from pipeline.chain.params import Params
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes
from pipeline.core.json_files import parse_json, parse_jsonl
from pipeline.methods.measures import MEASURES
from pipeline.methods.measures.collapse_rate import collapse_rate
from pipeline.versioning.dvc_lock import LOCK_FILE, parse_lock
from pipeline.versioning.revisions import Revision

if TYPE_CHECKING:
    import numpy as np

_LAYOUT = Layout()


class TableRow(NamedTuple):
    """One k of one chain, as a table has it; the seed tells the chains of an arm apart."""

    arm: str
    seed: int
    k: int
    metrics: Mapping[str, float | None]


@dataclass(frozen=True)
class ComparedRun:
    """A chain; `metrics`[k] stands for k = 0..K and may be empty at 0. `arm` names its setting where parameters do not.

    `planned` is K as the parameters have it. `features_of` says what the metrics were measured with, None where unknown.
    """

    name: str
    params: Mapping[str, Any]
    metrics: list[Mapping[str, Any]]
    planned: int
    arm: str | None = None
    features_of: str | None = None
    source: Revision | None = field(default=None, repr=False)

    @property
    def last(self) -> int:
        """K, the last iteration that was measured."""
        return len(self.metrics) - 1

    @property
    def seed(self) -> int:
        return int(self.params.get("seed", 0))

    def value(self, metric: str, k: int) -> float | None:
        """Return metrics[k][metric] where it is a number, else None; a relation to the real images is computed."""
        measure = MEASURES.get(metric)
        if measure is not None and measure.relate is not None:
            real, now = self.value(measure.to_real, 0), self.value(measure.to_real, k)
            return None if real is None or now is None else measure.relate(now, real)
        found = self.metrics[k].get(metric) if 0 <= k <= self.last else None
        return float(found) if isinstance(found, int | float) else None

    @property
    def collapse_rate(self) -> float | None:
        """(FID_K - FID_1) / (K - 1), eq. 3; None when K = 1."""
        first, last = self.value("fid", 1), self.value("fid", self.last)
        return None if first is None or last is None else collapse_rate(first, last, self.last)


def runs_from_rows(rows: Iterable[TableRow]) -> list[ComparedRun]:
    """Return runs without Git or DVC; each (arm, seed) is one. Raise UserError when one lacks or repeats one of 1..K."""
    chains: dict[tuple[str, int], dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        chain = chains.setdefault((row.arm, row.seed), {})
        if row.k in chain:
            raise UserError(f"the table has k = {row.k} of {row.arm}, seed {row.seed}, twice; keep one of the two rows")
        chain[row.k] = row.metrics
    return [_from_chain(arm, seed, chain) for (arm, seed), chain in chains.items()]


def _from_chain(arm: str, seed: int, chain: dict[int, Mapping[str, Any]]) -> ComparedRun:
    last = max(chain)
    missing = [k for k in range(1, last + 1) if k not in chain]
    if missing or last < 1:
        raise UserError(f"the table lacks k = {missing[0] if missing else 1} of {arm}, seed {seed}; add the row")
    metrics = [chain.get(k, {}) for k in range(last + 1)]
    return ComparedRun(f"{arm}, seed {seed}", {"seed": seed}, metrics, last, arm)


def read_run(source: Revision, name: str) -> ComparedRun:
    """Read a run from what `source` holds. Raise UserError when it has no parameters, no metrics, or a damaged file."""
    params = _params(source, name)
    planned = len(params["iterations"])
    metrics: list[Mapping[str, Any]] = []
    while len(metrics) <= planned and source.has(_LAYOUT.metrics(len(metrics))):
        metrics.append(_json(source, _LAYOUT.metrics(len(metrics)), name))
    if len(metrics) < 2:
        raise UserError(
            f"{name} has no metrics (no {_LAYOUT.metrics(1)}): no chain ran there, or its dvc.lock was not committed; "
            f"run 'dvc repro' and commit dvc.lock, or name an experiment of 'dvc exp list'"
        )
    return ComparedRun(name, params, metrics, planned, None, _features_of(source, params, metrics[1]), source)


def _params(source: Revision, name: str) -> dict[str, Any]:
    """Read params.yaml, with today's default for a parameter that the revision did not know yet."""
    if not source.has(Path("params.yaml")):
        raise UserError(f"{name} has no params.yaml; name a revision of this project that has one")
    try:
        found = YAML(typ="safe").load(source.read(Path("params.yaml")).decode())
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"params.yaml of {name} cannot be read as YAML; name another revision") from error
    if not isinstance(found, dict) or not isinstance(found.get("iterations"), dict):
        raise UserError(f"params.yaml of {name} has no mapping 'iterations'; name a revision of a chain")
    known = {key: entry.get_default() for key, entry in Params.model_fields.items() if not entry.is_required()}
    return known | found


def _json(source: Revision, path: Path, name: str) -> dict[str, Any]:
    try:
        found = parse_json(source.read(path).decode())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} of {name} is not valid JSON; run its stage again and commit") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} of {name} must hold a JSON object; run its stage again and commit")
    return found


def _features_of(source: Revision, params: Mapping[str, Any], metrics: Mapping[str, Any]) -> str | None:
    """Return the feature extractor as the metrics describe it, with the hash of its weights as dvc.lock has it."""
    if "feature" not in metrics:
        return None
    described = [f"{key} {value}" for key, value in sorted(metrics["feature"].items())]
    weights = _locked_hash(source, str(params["feature_model"]))
    return "; ".join([*described, f"weights {weights[:12]}"] if weights else described)


def _locked_hash(source: Revision, dependency: str) -> str | None:
    """Return the hash of a dependency of the stage `reference` in dvc.lock."""
    if not source.has(Path(LOCK_FILE)):
        return None
    stages = parse_lock(source.read(Path(LOCK_FILE)).decode())
    read = stages["reference"].deps if "reference" in stages else ()
    return next((item.md5 for item in read if item.path == dependency), None)


def read_features(run: ComparedRun) -> list[np.ndarray]:
    """Read features of D_0..D_K, each [N,d] float32. Raise UserError when one is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    sets = []
    for k in range(run.last + 1):
        path = _LAYOUT.features(k)
        try:
            found = load(_files(run, path).read(path))["image"]
        except (SafetensorError, KeyError) as error:
            raise UserError(f"{path} of {run.name} holds no features; run its stage again") from error
        sets.append(check_features(found, f"{path} of {run.name}", k))
    return sets


def read_manifest(run: ComparedRun, k: int) -> list[dict[str, Any]]:
    """Read the rows of D_k: file, prompt_index, image_index, prompt, sha256. Raise UserError when it is missing or damaged."""
    path = _LAYOUT.manifest(k)
    text = _files(run, path).read(path).decode(errors="surrogateescape")  # which is no plain text, and refused as such
    return parse_jsonl(text, f"{path} of {run.name}", MANIFEST_KEYS, "run its stage again")


def read_image(run: ComparedRun, k: int, row: Mapping[str, Any]) -> bytes:
    """Read an image file of D_k. Raise UserError when it is missing or not the one that the manifest records."""
    path = _LAYOUT.images(k) / row["file"]
    content = _files(run, path).read_image(_LAYOUT.images(k), row)
    if sha256_bytes(content) != row["sha256"]:
        raise UserError(f"{path} of {run.name} is not the image that its manifest.jsonl records (sha256 differs); restore it")
    return content


def _files(run: ComparedRun, path: Path) -> Revision:
    if run.source is None:
        raise UserError(f"{run.name} comes from a table, which holds no {path}; name a revision instead")
    return run.source
