"""Write one D_k as a Hugging Face imagefolder, as WebDataset shards, or as kohya's folder; the same bytes every time. And
SHA256SUMS: every file of an export with its hash, in the form that `sha256sum --check` reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.chain.shards import read_stored, shard_name, write_shard
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes, sha256_file, write_bytes, write_text
from pipeline.core.json_files import read_jsonl, write_jsonl

SPLIT = "train"
SHARD_IMAGES = 1000
SUMS_FILE = "SHA256SUMS"
_SUMS_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_PART_OF_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_MOST_FILES = 1_000_000


@dataclass(frozen=True)
class ExportedImage:
    """An image file of D_k and its row of the manifest."""

    content: bytes
    row: Mapping[str, Any]

    @property
    def stem(self) -> str:
        return Path(self.row["file"]).stem

    @property
    def facts(self) -> dict[str, Any]:
        """What goes beside the image: prompt and image index, seed, sha256."""
        return {key: self.row.get(key) for key in ("prompt_index", "image_index", "seed", "sha256")}


def read_images(layout: Layout, k: int) -> Iterator[ExportedImage]:
    """Yield the images of D_k in the manifest's order, one at a time. Raise UserError for one that is missing or another."""
    for row in read_jsonl(layout.manifest(k), ("file", "prompt", "sha256", "prompt_index", "image_index")):
        path = layout.images(k) / row["file"]
        try:
            content = read_stored(layout.images(k), row)
        except FileNotFoundError as error:
            raise UserError(
                f"{path} does not exist, though D_{k}'s manifest names it; fetch it with 'redifine get {k}'"
            ) from error
        if sha256_bytes(content) != row["sha256"]:
            raise UserError(
                f"{path} is not the image that the manifest records (sha256 differs); run 'dvc checkout data/D_{k}'"
            )
        yield ExportedImage(content, row)


def write_imagefolder(folder: Path, images: Iterable[ExportedImage], k: int) -> None:
    """Write train/*.png and train/metadata.jsonl with the columns file_name and text, as `datasets` reads them."""
    rows = []
    for image in images:
        name = f"{image.stem}.png"
        write_bytes(folder / SPLIT / name, image.content)
        rows.append({"file_name": name, "text": image.row["prompt"], "generation": k, **image.facts})
    write_jsonl(folder / SPLIT / "metadata.jsonl", rows)


def write_webdataset(folder: Path, images: Iterable[ExportedImage], k: int) -> None:
    """Write train-000000.tar, ...: for each image STEM.json, STEM.png, STEM.txt next to each other."""
    waiting = ((image.row, image.content) for image in images)
    for shard in count():
        first = list(islice(waiting, 1))
        if not first and shard:
            break
        write_shard(folder / shard_name(SPLIT, shard), chain(first, islice(waiting, SHARD_IMAGES - 1)), k)


def write_kohya(folder: Path, images: Iterable[ExportedImage], k: int) -> None:
    """Write 1_D_k/*.png with .txt captions: `train_network.py --train_data_dir FOLDER` reads it, one repeat an image."""
    for image in images:
        place = folder / f"1_D_{k}" / image.stem
        write_bytes(place.with_name(f"{image.stem}.png"), image.content)
        write_text(place.with_name(f"{image.stem}.txt"), image.row["prompt"])


WRITERS = {"hf-dataset": write_imagefolder, "webdataset": write_webdataset, "folder": write_kohya}


def write_checksums(folder: Path) -> str:
    """Write SHA256SUMS of all files below `folder`, by name; returns the sha256 of SHA256SUMS itself."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    text = "".join(f"{sha256_file(folder / name)}  {name}\n" for name in files)
    write_text(folder / SUMS_FILE, text)
    return sha256_bytes(text.encode())


def parse_checksums(content: bytes, source: str) -> dict[str, str]:
    """Return hash of each file by name. Raise UserError for a line of another form, or a name that leads out of the folder."""
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{SUMS_FILE} of {source} is not text; ask for it again") from error
    matches = [_SUMS_LINE.fullmatch(line) for line in lines]
    if not lines or len(lines) > _MOST_FILES or not all(matches):
        raise UserError(
            f"{SUMS_FILE} of {source} is damaged: each line must be a sha256, two spaces and a file name; get it again"
        )
    hashes = {match[2]: match[1] for match in matches if match}
    for name in hashes:
        if not all(_PART_OF_NAME.fullmatch(part) for part in name.split("/")) or PurePosixPath(name).as_posix() != name:
            raise UserError(f"{SUMS_FILE} of {source} names {name!r}, no plain path inside the folder; do not use this set")
    return hashes
