"""The features of T_k, gathered from those of the sets that its images come from."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.paths import Layout
from pipeline.storage import load_tensors, read_jsonl

_IDENTITY = ("prompt_index", "image_index")


def training_features(layout: Layout, k: int, width: int) -> np.ndarray:
    """Features of T_k's images in its order, [M,width] float32: each from its own D_j's features/j.safetensors.

    Raises UserError when T_k is empty, or features are missing, of another width, or not those of D_j's manifest.
    """
    rows = read_jsonl(layout.training_set(k), ("k", *_IDENTITY))
    if not rows:
        raise UserError(f"{layout.training_set(k)} lists no images; make T_{k} again with 'dvc repro'")
    gathered = np.empty((len(rows), width), dtype=np.float32)
    for j in sorted({row["k"] for row in rows}):
        place = _places(layout, j)
        features = _features(layout, j, (len(place), width))
        chosen = [position for position, row in enumerate(rows) if row["k"] == j]
        missing = [_identity(rows[position]) for position in chosen if _identity(rows[position]) not in place]
        if missing:
            raise UserError(
                f"{layout.training_set(k)} has image {missing[0][1]} of prompt {missing[0][0]} of D_{j}, which D_{j} has not; "
                f"make T_{k} again with 'dvc repro'"
            )
        gathered[chosen] = features[[place[_identity(rows[position])] for position in chosen]]
    return gathered


def _features(layout: Layout, j: int, expected: tuple[int, int]) -> np.ndarray:
    """features/j.safetensors -> features of the `expected` shape."""
    features = load_tensors(layout.features(j), ("image",))[0]["image"].numpy()
    if features.shape != expected:
        raise UserError(
            f"{layout.features(j)} holds features of shape {list(features.shape)}, expected {list(expected)}; "
            f"measure D_{j} again with 'dvc repro'"
        )
    return features


def _places(layout: Layout, j: int) -> dict[tuple[int, int], int]:
    """The row of each image of D_j in its features: they are in the manifest's order."""
    return {_identity(row): place for place, row in enumerate(read_jsonl(layout.manifest(j), _IDENTITY))}


def _identity(row: dict[str, Any]) -> tuple[int, int]:
    return row["prompt_index"], row["image_index"]
