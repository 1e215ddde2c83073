"""The images of D_k as training records, and the features that belong to records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.curate.policies import Record
from pipeline.errors import UserError
from pipeline.paths import Layout
from pipeline.storage import load_tensors, read_jsonl


def records(layout: Layout, k: int) -> list[Record]:
    """The images of D_k as training records; paths are relative to the project's root."""
    folder = layout.images(k).relative_to(layout.root)
    return [
        {
            "path": (folder / row["file"]).as_posix(),
            "prompt_index": row["prompt_index"],
            "image_index": row["image_index"],
            "caption": row["prompt"],
            "k": k,
            "sha256": row["sha256"],
        }
        for row in read_jsonl(layout.manifest(k), ("file", "prompt_index", "image_index", "prompt", "sha256"))
    ]


def place(record: Record) -> tuple[int, int, int]:
    """Which image a record is: (k, prompt_index, image_index); also the order of a selected T_k."""
    return record["k"], record["prompt_index"], record["image_index"]


def features_of(layout: Layout, rows: Sequence[Record]) -> np.ndarray:
    """The features [n,d] float32 of n >= 1 records, in their order, from features/k.safetensors of each k among them.

    Raises UserError when a file is missing, does not fit its manifest, holds NaN, or has another d than the others.
    """
    iterations = sorted({row["k"] for row in rows})
    tables = {k: _table(layout, k) for k in iterations}
    first = iterations[0]
    for k in iterations:
        if tables[k].shape[1] != tables[first].shape[1]:
            raise UserError(
                f"{layout.features(k)} has {tables[k].shape[1]} dimensions, but {layout.features(first)} has "
                f"{tables[first].shape[1]}; measure both with one feature_model (params.yaml, 'dvc repro')"
            )
    positions = {place(row): i for k in iterations for i, row in enumerate(records(layout, k))}
    _check_known(rows, positions, layout)
    return np.stack([tables[row["k"]][positions[place(row)]] for row in rows])


def _check_known(rows: Iterable[Record], positions: dict[tuple[int, int, int], int], layout: Layout) -> None:
    for row in rows:
        if place(row) not in positions:
            raise UserError(
                f"{layout.manifest(row['k'])} lacks {row['path']}, which a training set names; make both again ('dvc repro')"
            )


def _table(layout: Layout, k: int) -> np.ndarray:
    """The features [N,d] of D_k, in the manifest's order."""
    path = layout.features(k)
    if not path.is_file():
        raise UserError(f"training_set: select needs {path}, which is missing; run 'python -m pipeline measure --k {k}' first")
    tensors, _ = load_tensors(path)
    if "image" not in tensors or tensors["image"].ndim != 2:
        raise UserError(f"{path} holds no table of features named image; run 'python -m pipeline measure --k {k}' again")
    features = tensors["image"].float().numpy()
    _check_table(path, features, len(records(layout, k)), k)
    return features


def _check_table(path: Path, features: np.ndarray, images: int, k: int) -> None:
    if len(features) != images:
        raise UserError(
            f"{path} has {len(features)} rows, but D_{k} has {images} images; run 'python -m pipeline measure --k {k}' again"
        )
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise UserError(
            f"{path}, row {row} holds NaN or infinity, so no distance can be taken; "
            f"check that image of D_{k} and the feature_model (params.yaml), then measure again"
        )
