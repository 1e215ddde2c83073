"""D_k as it was recorded: every image checked against its hash, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.paths import Layout
from pipeline.storage import load_image, read_jsonl, sha256_file

BATCH = 32


def read_manifest(layout: Layout, k: int) -> list[dict[str, Any]]:
    """D_k's rows: file, prompt_index, image_index, prompt, seed, sha256. Raises UserError when there are none."""
    rows = read_jsonl(layout.manifest(k), ("file", "prompt_index", "image_index", "prompt", "sha256"))
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


def batches(layout: Layout, k: int, rows: list[dict[str, Any]]) -> Iterator[list[np.ndarray]]:
    """The images of `rows` in order, at most `BATCH` at a time, so that memory does not grow with D_k."""
    for start in range(0, len(rows), BATCH):
        yield [load_checked(layout.images(k) / row["file"], row["sha256"]) for row in rows[start : start + BATCH]]
