"""Large image sets as tar shards that WebDataset reads; each image is found by its offset, without reading the others."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import atomic_file
from pipeline.core.json_files import is_valid_field

ManifestRow = Mapping[str, Any]
"""An image's line in the manifest: file, prompt_index, image_index, prompt, seed, sha256; in a shard also its `PLACE`."""

PLACE = ("shard", "offset", "size")
"""Where an image lies: its shard's file name, and the first byte and length of its PNG in there."""

_FACTS = ("prompt_index", "image_index", "seed", "sha256")


@dataclass(frozen=True)
class Sharding:
    """Sets of more than `above` images are kept as shards of `size` images."""

    above: int
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a shard must hold at least one image, got {self.size}")

    def parts(self, images: int) -> list[range]:
        """Return the images of each shard; no part at all where the set is kept as loose files."""
        if images <= self.above:
            return []
        return [range(start, min(start + self.size, images)) for start in range(0, images, self.size)]


LOOSE = Sharding(above=2**63, size=1)
"""Every image is a file of its own."""


def shard_name(name: str, number: int) -> str:
    """Return WebDataset's naming: "D_3-000000.tar"."""
    return f"{name}-{number:06d}.tar"


def write_shard(path: Path, images: Iterable[tuple[ManifestRow, bytes]], k: int) -> list[dict[str, Any]]:
    """Write STEM.json, STEM.png and STEM.txt of each image (row, PNG) of D_k side by side -> the rows with their places.

    Equal images give equal bytes. Raise UserError when the disk is full.
    """
    rows = []
    with atomic_file(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row, png in images:
            stem = Path(row["file"]).stem
            facts = {"generation": k, **{key: row.get(key) for key in _FACTS}}
            _add(tar, f"{stem}.json", json.dumps(facts, sort_keys=True).encode())
            offset = _add(tar, f"{stem}.png", png)
            _add(tar, f"{stem}.txt", row["prompt"].encode())
            rows.append({**row, "shard": path.name, "offset": offset, "size": len(png)})
    return rows


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Append a file to the archive -> where its content starts."""
    # A bare TarInfo has no time and no owner.
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    start = tar.offset + tarfile.BLOCKSIZE
    tar.addfile(entry, io.BytesIO(content))
    return start


def is_in_shard(row: ManifestRow) -> bool:
    """Return whether the image is in a shard. Raise UserError for a row that says so without saying where."""
    if "shard" not in row:
        return False
    if not all(is_valid_field(key, row.get(key)) for key in PLACE):
        raise UserError(f"{row['file']} has a place in a shard that cannot be; restore manifest.jsonl with 'dvc checkout'")
    return True


def file_of(row: ManifestRow) -> str:
    """Return the file, in the set's folder, that holds the image: its own, or its shard."""
    return str(row["shard"] if is_in_shard(row) else row["file"])


def read_stored(folder: Path, row: ManifestRow) -> bytes:
    """Return the PNG of one image of the set in `folder`, loose or in a shard; from a shard that ends too early, what is there.

    Raise OSError when the file cannot be read, UserError as `is_in_shard` does.
    """
    if not is_in_shard(row):
        return (folder / row["file"]).read_bytes()
    with (folder / row["shard"]).open("rb") as file:
        file.seek(row["offset"])
        return file.read(row["size"])


def by_shard(rows: Iterable[ManifestRow]) -> Iterator[tuple[str, list[ManifestRow]]]:
    """Yield rows that lie in one shard, in turn, with the shard's name; loose images are left out."""
    found: dict[str, list[ManifestRow]] = {}
    for row in rows:
        if is_in_shard(row):
            found.setdefault(row["shard"], []).append(row)
    yield from found.items()
