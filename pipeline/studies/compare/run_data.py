"""What a run's folders hold, read when a page needs it: features, manifests, images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.chain.image_sets import MANIFEST_KEYS, check_features
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes
from pipeline.core.json_files import is_valid_field, parse_json
from pipeline.studies.compare.runs import ComparedRun

if TYPE_CHECKING:
    import numpy as np

_LAYOUT = Layout()


def read_features(run: ComparedRun) -> list[np.ndarray]:
    """Read features of D_0..D_K, each [N,d] float32. Raise UserError when one is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    sets = []
    for k in range(run.last + 1):
        try:
            found = load(_read(run, _LAYOUT.features(k)))["image"]
        except (SafetensorError, KeyError) as error:
            raise UserError(f"{_LAYOUT.features(k)} of {run.name} holds no features; run its stage again") from error
        sets.append(check_features(found, f"{_LAYOUT.features(k)} of {run.name}", k))
    return sets


def read_manifest(run: ComparedRun, k: int) -> list[dict[str, Any]]:
    """Read the rows of D_k: file, prompt_index, image_index, prompt, sha256. Raise UserError when it is missing or damaged."""
    path = _LAYOUT.manifest(k)
    try:
        rows = [parse_json(line) for line in _read(run, path).decode().split("\n") if line]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} of {run.name} is not valid JSON lines; run its stage again") from error
    if not all(isinstance(row, dict) and all(is_valid_field(key, row.get(key)) for key in MANIFEST_KEYS) for row in rows):
        keys = ", ".join(MANIFEST_KEYS)
        raise UserError(f"{path} of {run.name} has a row without {keys} of the right kind; run its stage again")
    return rows


def read_image(run: ComparedRun, k: int, row: Mapping[str, Any]) -> bytes:
    """Read an image file of D_k. Raise UserError when it is missing or not the one that the manifest records."""
    path = _LAYOUT.images(k) / row["file"]
    if run.source is None:
        raise _no_source(run, path)
    content = run.source.read_image(_LAYOUT.images(k), row)
    if sha256_bytes(content) != row["sha256"]:
        raise UserError(f"{path} of {run.name} is not the image that its manifest.jsonl records (sha256 differs); restore it")
    return content


def _read(run: ComparedRun, path: Path) -> bytes:
    if run.source is None:
        raise _no_source(run, path)
    return run.source.read(path)


def _no_source(run: ComparedRun, path: Path) -> UserError:
    return UserError(f"{run.name} comes from a table, which holds no {path}; name a revision instead")
