"""Read the chain's own records: P, manifests, T_k, lineage.json, base.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.chain.shards import is_in_shard
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json, read_jsonl
from pipeline.provenance.verify.findings import Finding

_PROMPT = ("index", "prompt")
_IMAGE = ("file", "prompt_index", "image_index", "prompt", "sha256")
_EXAMPLE = ("path", "caption", "prompt_index", "image_index", "k", "sha256")
_BASE = {"model": str, "sha256": str, "files": dict}
_LORA = {"lora_sha256": str, "base_sha256": str, "training_set_sha256": str}

Rows = list[dict[str, Any]]


@dataclass
class Records:
    """What could be read; a file that is missing or damaged is left out."""

    layout: Layout
    prompts: Rows = field(default_factory=list)
    manifests: dict[int, Rows] = field(default_factory=dict)
    training_sets: dict[int, Rows] = field(default_factory=dict)
    lineages: dict[int, dict[str, Any]] = field(default_factory=dict)
    base: dict[str, Any] | None = None

    def name(self, path: Path) -> str:
        """Return a path as findings name it: relative to the project's root."""
        return path.relative_to(self.layout.root).as_posix()


def _read_manifest(path: Path, required: Iterable[str]) -> Rows:
    rows = read_jsonl(path, required)
    for row in rows:
        is_in_shard(row)
    return rows


def read_records(root: Path, ks: Iterable[int]) -> tuple[Records, list[Finding]]:
    """Return the records of the iterations `ks`, and findings about those that cannot be read."""
    layout, damaged = Layout(root), []
    records = Records(layout)

    def read(path: Path, reader: Any, required: Any) -> Any:
        if not path.is_file():
            return None
        try:
            return reader(path, required)
        except UserError as error:
            sentence = str(error).removeprefix(str(path)).lstrip(", ")
            damaged.append(Finding(records.name(path), "damaged", sentence))
            return None

    records.prompts = read(layout.prompts, read_jsonl, _PROMPT) or []
    records.base = read(layout.base_record(), read_json, _BASE)
    for k in ks:
        for kind, path, reader, required in (
            (records.manifests, layout.manifest(k), _read_manifest, _IMAGE),
            (records.training_sets, layout.training_set(k), read_jsonl, _EXAMPLE),
            (records.lineages, layout.lineage(k), read_json, _LORA),
        ):
            if (content := read(path, reader, required)) is not None:
                kind[k] = content
    return records, damaged
