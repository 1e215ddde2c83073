"""The WD v1.4 tagger through onnxruntime: images -> tags with scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageOps

from pipeline.core.errors import UserError
from pipeline.inputs.captions.parts import Tag
from pipeline.inputs.datasets.csv_tables import read_table

FLOOR = 0.1
"""Tags below this score are not kept in parts.jsonl; thresholds lie above it."""

_KINDS = {"0": "general", "4": "character"}
"""selected_tags.csv's categories; 9, ratings, are no tags."""

_LONGEST_FACE = 3


class Session(Protocol):
    """What is used of onnxruntime.InferenceSession."""

    def get_inputs(self) -> Sequence[Any]: ...

    def run(self, output_names: Sequence[str] | None, input_feed: dict[str, np.ndarray]) -> Sequence[Any]: ...


class Tagger:
    """A network that gives each label of selected_tags.csv a probability."""

    def __init__(self, session: Session, labels: Sequence[tuple[str, str | None]]) -> None:
        """`labels`: name, and general, character or None for a rating, in the order of the network's output."""
        self._session, self._labels = session, labels
        self._input = session.get_inputs()[0]
        batch, side = self._input.shape[0], self._input.shape[1]
        self._batch = batch if isinstance(batch, int) and batch > 0 else None
        self._side = side if isinstance(side, int) else 448

    def tag(self, images: Sequence[Image.Image]) -> list[tuple[Tag, ...]]:
        """Tag RGB images -> tags with a score of at least FLOOR each, in the list's order. Raise UserError."""
        pixels = np.stack([network_input(image, self._side) for image in images])
        step = self._batch or len(images)
        scores = np.concatenate([self._scores(pixels[i : i + step]) for i in range(0, len(images), step)])
        if scores.shape[1] != len(self._labels):
            raise UserError(
                f"the tagger gives {scores.shape[1]} scores, but selected_tags.csv has {len(self._labels)} rows; "
                "fetch model.onnx and selected_tags.csv of one repository"
            )
        return [self._tags(row) for row in scores]

    def _scores(self, pixels: np.ndarray) -> np.ndarray:
        """Score [n,S,S,3] float32 -> [n,labels] float32; a network of fixed batch size is fed up to it with zeros."""
        count = len(pixels)
        if self._batch and count < self._batch:
            pixels = np.concatenate([pixels, np.zeros((self._batch - count, *pixels.shape[1:]), np.float32)])
        return np.asarray(self._session.run(None, {self._input.name: pixels})[0])[:count]

    def _tags(self, scores: np.ndarray) -> tuple[Tag, ...]:
        pairs = zip(self._labels, scores.tolist(), strict=True)
        return tuple((name, round(score, 4), kind) for (name, kind), score in pairs if kind and score >= FLOOR)


def network_input(image: Image.Image, side: int) -> np.ndarray:
    """Turn RGB into [side,side,3] float32, 0..255, channels in the order blue, green, red; padded to a square with white."""
    padded = ImageOps.pad(image, (side, side), Image.Resampling.BICUBIC, color="white")
    return np.ascontiguousarray(np.asarray(padded, dtype=np.float32)[..., ::-1])


def load_tagger(folder: Path, device: str) -> Tagger:
    """Load model.onnx and selected_tags.csv of a SmilingWolf/wd-v1-4-*-tagger-v2. Raise UserError."""
    for name in ("model.onnx", "selected_tags.csv"):
        if not (folder / name).is_file():
            raise UserError(
                f"--tagger {folder} has no {name}; fetch SmilingWolf/wd-v1-4-convnext-tagger-v2 there (docs/datasets.md)"
            )
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "the WD tagger needs onnxruntime: pip install onnxruntime (or onnxruntime-gpu), then run again"
        ) from error
    number = {"device_id": int(device.partition(":")[2] or 0)}
    wanted = [("CUDAExecutionProvider", number)] if device.startswith("cuda") else []
    available = onnxruntime.get_available_providers()
    providers = [one for one in (*wanted, ("CPUExecutionProvider", {})) if one[0] in available]
    state = onnxruntime.capi.onnxruntime_pybind11_state
    damaged = (state.Fail, state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument, state.NotImplemented)
    try:
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=providers)
    except (*damaged, RuntimeError) as error:
        raise UserError(f"{folder / 'model.onnx'} cannot be loaded ({str(error).splitlines()[0]}); fetch it again") from error
    return Tagger(session, read_labels(folder / "selected_tags.csv"))


def read_labels(path: Path) -> list[tuple[str, str | None]]:
    """Read selected_tags.csv (tag_id, name, category, count) -> name in words and kind of every row. Raise UserError."""
    rows = read_table(path)
    if not rows or not all("name" in row and "category" in row for row in rows):
        raise UserError(f"{path} must have the columns name and category; fetch it again")
    return [(in_words(row["name"]), _KINDS.get(row["category"].strip())) for row in rows]


def in_words(tag: str) -> str:
    """Put a tag into words: red_eyes -> red eyes, pokemon_(creature) -> pokemon (creature); faces such as ^_^ and |_| stay."""
    left, _, right = tag.partition("_")
    is_face = len(tag) <= _LONGEST_FACE or (left == right and not left.isalpha())
    return tag if is_face else tag.replace("_", " ")
