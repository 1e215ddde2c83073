"""Write one D_k as a Hugging Face imagefolder, as WebDataset shards, or as kohya's folder; the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.chain.shards import read_stored, shard_name, write_shard
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes, write_bytes, write_text
from pipeline.core.json_files import read_jsonl, write_jsonl

SPLIT = "train"
SHARD_IMAGES = 1000


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


def write_imagefolder(folder: Path, pictures: Iterable[ExportedImage], k: int) -> None:
    """train/*.png and train/metadata.jsonl with the columns file_name and text, as `datasets` reads them."""
    rows = []
    for picture in pictures:
        name = f"{picture.stem}.png"
        write_bytes(folder / SPLIT / name, picture.content)
        rows.append({"file_name": name, "text": picture.row["prompt"], "generation": k, **picture.facts})
    write_jsonl(folder / SPLIT / "metadata.jsonl", rows)


def write_webdataset(folder: Path, pictures: Iterable[ExportedImage], k: int) -> None:
    """train-000000.tar, ...: for each image STEM.json, STEM.png, STEM.txt next to each other."""
    waiting = ((picture.row, picture.content) for picture in pictures)
    for shard in count():
        first = list(islice(waiting, 1))
        if not first and shard:
            break
        write_shard(folder / shard_name(SPLIT, shard), chain(first, islice(waiting, SHARD_IMAGES - 1)), k)


def write_kohya(folder: Path, pictures: Iterable[ExportedImage], k: int) -> None:
    """1_D_k/*.png with .txt captions: `train_network.py --train_data_dir FOLDER` reads it, one repeat an image."""
    for picture in pictures:
        place = folder / f"1_D_{k}" / picture.stem
        write_bytes(place.with_name(f"{picture.stem}.png"), picture.content)
        write_text(place.with_name(f"{picture.stem}.txt"), picture.row["prompt"])


WRITERS = {"hf-dataset": write_imagefolder, "webdataset": write_webdataset, "folder": write_kohya}
