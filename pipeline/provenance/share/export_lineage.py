"""Where an exported D_k or M_k comes from, as dvc.lock, Git and the metrics have it: the content of its lineage.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.core.json_files import read_json
from pipeline.methods.policies import POLICIES
from pipeline.provenance.lineage.runs import first_recording_commit
from pipeline.provenance.share.iterations import ChainRecord


def lineage_of(root: Path, record: ChainRecord, k: int) -> dict[str, Any]:
    """Return generation k, its ancestors D_j and M_j by their DVC hashes, base model, parameters, code commit and metrics.

    Deterministic: no time, no host, no absolute path. Raise UserError when a file of the iteration is missing.
    """
    layout = Layout(root)
    base = read_json(layout.base_record(), {"model": str, "sha256": str})
    metrics = read_json(layout.metrics(k), {}) if layout.metrics(k).is_file() else {}
    stages = ["prepare", *(f"{stage}@{k}" for stage in ("curate", "train", "sample") if k)]
    return {
        "generation": k,
        "base_model": {"name": base["model"], "sha256": base["sha256"]},
        "parameters": record.stage_parameters(*stages),
        "code_commit": _code_commit(root, record, k),
        "data": {f"D_{j}": _hash(record, Layout().images(j)) for j in range(k + 1)},
        "models": {f"M_{j}": _hash(record, Layout().model(j)) for j in range(1, k + 1)},
        "metrics": {key: value for key, value in metrics.items() if isinstance(value, int | float)},
    }


def _hash(record: ChainRecord, path: Path) -> str | None:
    found = record.outputs.get(path.as_posix())
    return found.md5 if found else None


def _code_commit(root: Path, record: ChainRecord, k: int) -> str | None:
    """Return the commit that first recorded D_k; None before there is one."""
    md5 = _hash(record, Layout().images(k))
    found = first_recording_commit(root, Layout().images(k).as_posix(), md5) if md5 else None
    return found[0] if found else None


def ancestry(lineage: Mapping[str, Any]) -> str:
    """Return one sentence on how this generation was made."""
    k = lineage["generation"]
    if k == 0:
        return "D_0: the real images that the chain starts from."
    steps = " -> ".join(f"M_{j} -> D_{j}" for j in range(1, k + 1))
    base = lineage["base_model"]["name"]
    return f"D_0 (real images) -> {steps}: {base} finetuned {start(lineage)}on {training_images(lineage)} made M_{k}."


def training_images(lineage: Mapping[str, Any]) -> str:
    """Return what M_k was finetuned on, in words."""
    k, parameters = lineage["generation"], lineage["parameters"]
    policy = POLICIES.get(name := parameters.get("training_set", "replace"))
    if k == 1:
        return "the real images D_0"
    if policy is None:
        return f"images of earlier generations (training_set: {name})"
    before, all_before = f"synthetic images of generation {k - 1}", f"the images of all generations up to {k - 1}"
    return policy.in_words(parameters, before, all_before)


def start(lineage: Mapping[str, Any]) -> str:
    """ "from M_2 on, " where the LoRA went on from the one before, else nothing."""
    k, previous = lineage["generation"], lineage["parameters"].get("start_from") == "previous"
    return f"from M_{k - 1} on, " if previous and k > 1 else ""
