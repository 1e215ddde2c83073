"""The image sets D_k, as files or in shards: manifests, images checked against them, features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.chain.paths import Layout
from pipeline.chain.shards import ManifestRow, Sharding, is_in_shard, read_stored, shard_name, write_shard
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes, write_bytes
from pipeline.core.images import decode_image
from pipeline.core.json_files import read_jsonl, write_jsonl
from pipeline.core.tensors import read_array

if TYPE_CHECKING:
    import numpy as np

BATCH = 32

MANIFEST_KEYS = ("file", "prompt_index", "image_index", "prompt", "sha256")
"""What a row of a manifest must have; `seed` is there, too, and null for real images."""

Identity = tuple[int, int, int]
"""Which image: (k, prompt_index, image_index)."""


def read_manifest(layout: Layout, k: int) -> list[dict[str, Any]]:
    """Return D_k's rows: file, prompt_index, image_index, prompt, seed, sha256. Raise UserError when there are none."""
    rows = read_jsonl(layout.manifest(k), MANIFEST_KEYS)
    if not rows:
        raise UserError(f"{layout.manifest(k)} lists no images; make D_{k} again with 'dvc repro'")
    return rows


def write_set(folder: Path, k: int, images: Sequence[ManifestRow], content: Callable[[int], bytes], sharding: Sharding) -> None:
    """Write D_k and its manifest into `folder`: `images`[i], a row without sha256, is the PNG `content(i)`.

    One image is held at a time. Raise UserError when the disk is full, and as `content` does.
    """

    def written(numbers: Iterable[int]) -> Iterator[tuple[ManifestRow, bytes]]:
        for i in numbers:
            png = content(i)
            yield {**images[i], "sha256": sha256_bytes(png)}, png

    rows: list[ManifestRow] = []
    parts = sharding.parts(len(images))
    for number, part in enumerate(parts):
        rows += write_shard(folder / shard_name(f"D_{k}", number), written(part), k)
    for row, png in written(range(0 if parts else len(images))):
        write_bytes(folder / row["file"], png)
        rows.append(row)
    write_jsonl(folder / Layout().manifest(k).name, rows)


def image_bytes(folder: Path, row: ManifestRow) -> bytes:
    """Return the PNG of one image of the set in `folder`. Raise UserError when it is missing or cannot be read."""
    path = folder / row["file"]
    try:
        return read_stored(folder, row)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}{_where(row)} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')"
        ) from error
    except OSError as error:
        raise UserError(f"{path}{_where(row)} cannot be read: {error.strerror}; restore it with 'dvc checkout'") from error


def checked_bytes(folder: Path, row: ManifestRow) -> bytes:
    """Return what `image_bytes` does. Raise UserError, too, when the bytes are not those of the manifest."""
    content = image_bytes(folder, row)
    if sha256_bytes(content) != row["sha256"]:
        raise _not_recorded(folder, row)
    return content


def load_checked(folder: Path, row: ManifestRow) -> np.ndarray:
    """Return an image of the set in `folder`, [H,W,3] uint8. Raise UserError when its bytes are not those of the manifest."""
    import cv2
    import numpy as np

    content = image_bytes(folder, row)
    if sha256_bytes(content) != row["sha256"]:
        decode_image(content, folder / row["file"])  # a damaged image is told from another one
        raise _not_recorded(folder, row)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)  # a tenth faster than Pillow
    return decode_image(content, folder / row["file"]) if pixels is None else pixels


def _not_recorded(folder: Path, row: ManifestRow) -> UserError:
    return UserError(
        f"{folder / row['file']}{_where(row)} is not the image that its manifest.jsonl records (sha256 differs); "
        "restore it with 'dvc checkout'"
    )


def _where(row: ManifestRow) -> str:
    return f" (in {row['shard']})" if is_in_shard(row) else ""


class Images:
    """The images of the project at `root` by their paths, such as data/D_3/00012.png, whether they are files or in shards."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sharded: dict[str, dict[str, ManifestRow]] = {}

    def is_file(self, path: str) -> bool:
        return (self._root / path).is_file()

    def read(self, path: str) -> bytes:
        """Raise FileNotFoundError when there is no such image, OSError when it cannot be read."""
        folder, _, name = path.rpartition("/")
        row = None if self.is_file(path) else self._in_shards(folder).get(name)
        return read_stored(self._root / folder, row or {"file": name})

    def _in_shards(self, folder: str) -> dict[str, ManifestRow]:
        """Return {file: row} of the images of a set that are in shards."""
        if folder not in self._sharded:
            path = self._root / folder / Layout().manifest(0).name
            rows = read_jsonl(path, MANIFEST_KEYS) if path.is_file() else []
            self._sharded[folder] = {row["file"]: row for row in rows if is_in_shard(row)}
        return self._sharded[folder]


def batches(layout: Layout, k: int, rows: Sequence[ManifestRow]) -> Iterator[list[np.ndarray]]:
    """Yield the images of `rows` in order, at most `BATCH` at a time, so that memory does not grow with D_k."""
    for start in range(0, len(rows), BATCH):
        yield [load_checked(layout.images(k), row) for row in rows[start : start + BATCH]]


def read_features(layout: Layout, k: int, count: int) -> np.ndarray:
    """Return the features [count,d] float32 of D_k's `count` images, in the manifest's order.

    Raise UserError when they are missing, damaged, of another number of images, or not finite.
    """
    path = layout.features(k)
    if not path.is_file():
        raise UserError(f"{path}, the features of D_{k}, does not exist; run 'redifine measure --k {k}' or 'dvc pull {path}'")
    return check_features(read_array(path, "image"), str(path), k, count)


def check_features(features: np.ndarray, name: str, k: int, count: int | None = None) -> np.ndarray:
    """Return features [N,d], as they were read, in float32. Raise UserError, of `name`, unless they are a table of finite
    numbers with `count` rows (None: any number)."""
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


def identity(row: ManifestRow) -> Identity:
    """Return which image a row of a training set is."""
    return row["k"], row["prompt_index"], row["image_index"]


def features_of(layout: Layout, rows: Sequence[ManifestRow]) -> np.ndarray:
    """Return the features [n,d] float32 of the n >= 1 rows of a training set, in their order, each from its own D_k's; one
    D_k's are held at a time.

    Raise UserError as `read_features` does, for an image that its set does not have, and for sets of several d.
    """
    import numpy as np

    ks = np.array([row["k"] for row in rows])
    found: np.ndarray | None = None
    for k in np.unique(ks).tolist():
        manifest = read_manifest(layout, k)
        table = read_features(layout, k, len(manifest))
        if found is None:
            first, found = k, np.empty((len(rows), table.shape[1]), np.float32)
        if table.shape[1] != found.shape[1]:
            raise UserError(
                f"{layout.features(k)} has {table.shape[1]} dimensions, but {layout.features(first)} has "
                f"{found.shape[1]}; measure both with one feature_model (params.yaml, 'dvc repro')"
            )
        here = np.flatnonzero(ks == k)
        found[here] = table[_positions(layout, k, manifest, [rows[i] for i in here.tolist()])]
    if found is None:
        raise ValueError("a training set needs at least one image")
    return found


def _positions(layout: Layout, k: int, manifest: Sequence[ManifestRow], rows: Iterable[ManifestRow]) -> list[int]:
    """Return where in D_k's manifest the images of `rows` are. Raise UserError for one that is not there."""
    places = {(row["prompt_index"], row["image_index"]): i for i, row in enumerate(manifest)}
    found = []
    for row in rows:
        place = places.get((row["prompt_index"], row["image_index"]))
        if place is None:
            raise UserError(
                f"{layout.manifest(k)} lacks image {row['image_index']} of prompt {row['prompt_index']}, "
                "which a training set names; make both again ('dvc repro')"
            )
        found.append(place)
    return found
