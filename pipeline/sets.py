"""What is recorded of an image set D_k: the rows of its manifest, its images checked against them, their features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.paths import Layout
from pipeline.storage import load_image, read_array, read_jsonl, sha256_file

if TYPE_CHECKING:
    import numpy as np

BATCH = 32

MANIFEST_KEYS = ("file", "prompt_index", "image_index", "prompt", "sha256")
"""What a row of a manifest must have; `seed` is there, too, and null for real images."""

Identity = tuple[int, int, int]
"""Which image: (k, prompt_index, image_index)."""


def read_manifest(layout: Layout, k: int) -> list[dict[str, Any]]:
    """D_k's rows: file, prompt_index, image_index, prompt, seed, sha256. Raises UserError when there are none."""
    rows = read_jsonl(layout.manifest(k), MANIFEST_KEYS)
    if not rows:
        raise UserError(f"{layout.manifest(k)} lists no images; make D_{k} again with 'dvc repro'")
    return rows


def load_checked(path: Path, sha256: str) -> np.ndarray:
    """An image of D_k -> [H,W,3] uint8. Raises UserError when its bytes are not those of the manifest."""
    pixels = load_image(path)
    if sha256_file(path) != sha256:
        raise UserError(
            f"{path} is not the image that its manifest.jsonl records (sha256 differs); restore it with 'dvc checkout'"
        )
    return pixels


def batches(layout: Layout, k: int, rows: Sequence[Mapping[str, Any]]) -> Iterator[list[np.ndarray]]:
    """The images of `rows` in order, at most `BATCH` at a time, so that memory does not grow with D_k."""
    for start in range(0, len(rows), BATCH):
        yield [load_checked(layout.images(k) / row["file"], row["sha256"]) for row in rows[start : start + BATCH]]


def read_features(layout: Layout, k: int, count: int) -> np.ndarray:
    """The features [count,d] float32 of D_k's `count` images, in the manifest's order.

    Raises UserError when they are missing, damaged, of another number of images, or not finite.
    """
    path = layout.features(k)
    if not path.is_file():
        raise UserError(f"{path}, the features of D_{k}, does not exist; run 'redifine measure --k {k}' or 'dvc pull {path}'")
    return check_features(read_array(path, "image"), str(path), k, count)


def check_features(features: np.ndarray, name: str, k: int, count: int | None = None) -> np.ndarray:
    """Features as they were read -> [N,d] float32. Raises UserError, of `name`, unless they are a table of finite numbers with
    `count` rows (None: any number)."""
    import numpy as np

    if features.ndim != 2 or (count is not None and len(features) != count):
        rows = "[images, dimensions]" if count is None else f"[{count}, dimensions], a row for each image of D_{k}"
        raise UserError(f"{name} has the shape {list(features.shape)}, not {rows}; run 'redifine measure --k {k}' again")
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise UserError(
            f"{name}, row {row} holds NaN or infinity, so no distance can be taken; "
            f"check that image of D_{k} and the feature_model (params.yaml), then run 'redifine measure --k {k}' again"
        )
    return features.astype(np.float32, copy=False)


def identity(row: Mapping[str, Any]) -> Identity:
    """Which image a row of a training set is."""
    return row["k"], row["prompt_index"], row["image_index"]


def features_of(layout: Layout, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The features [n,d] float32 of the n >= 1 rows of a training set, in their order, each from its own D_k's.

    Raises UserError as `read_features` does, for an image that its set does not have, and for sets of several d.
    """
    import numpy as np

    iterations = sorted({row["k"] for row in rows})
    manifests = {k: read_manifest(layout, k) for k in iterations}
    tables = {k: read_features(layout, k, len(manifests[k])) for k in iterations}
    first = iterations[0]
    for k in iterations:
        if tables[k].shape[1] != tables[first].shape[1]:
            raise UserError(
                f"{layout.features(k)} has {tables[k].shape[1]} dimensions, but {layout.features(first)} has "
                f"{tables[first].shape[1]}; measure both with one feature_model (params.yaml, 'dvc repro')"
            )
    positions = {identity({"k": k, **row}): i for k in iterations for i, row in enumerate(manifests[k])}
    _check_known(rows, positions, layout)
    return np.stack([tables[row["k"]][positions[identity(row)]] for row in rows])


def _check_known(rows: Iterable[Mapping[str, Any]], positions: Mapping[Identity, int], layout: Layout) -> None:
    for row in rows:
        if identity(row) not in positions:
            k, prompt, image = identity(row)
            raise UserError(
                f"{layout.manifest(k)} lacks image {image} of prompt {prompt}, which a training set names; "
                "make both again ('dvc repro')"
            )
