"""Compare a file that was computed again with the recorded one, byte for byte, else within a tolerance of its kind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from filecmp import cmp
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.chain.image_sets import Images
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import read_text
from pipeline.core.images import decode_image
from pipeline.core.json_files import read_jsonl
from pipeline.core.tensors import load_tensors

Value = float | int | None

NOT_MADE = "it was not made again"
_DOWN, _UP = ".lora_down.weight", ".lora_up.weight"

_NOT_COMPARED = frozenset({"sha256", "lora_sha256", "previous_lora_sha256", "training_set_sha256", "offset", "size", "made_on"})
"""Entries of records that follow from other files, which are compared themselves, or tell of the machine."""


@dataclass(frozen=True)
class Tolerance:
    """How far another machine's result may be from the record: rounding, not another picture."""

    psnr: float = 30.0
    """Of an image, in dB, at least."""
    distance: float = 0.1
    """||recomputed - recorded|| / ||recorded||, at most: of image features, of tensors, of what a LoRA adds to the weights."""


@dataclass(frozen=True)
class Comparison:
    """One file, recorded and computed again."""

    path: str
    equal: bool
    """Byte for byte."""
    holds: bool
    """Equal, or within the tolerance."""
    problem: str = ""
    measured: Mapping[str, Value] = field(default_factory=dict)
    """max_level (of 255), psnr (dB; None where all pixels are equal), feature_distance; of tensors max and distance."""


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two uint8 arrays of one shape, in dB; infinite when they are equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0.0 else 10.0 * math.log10(255.0**2 / error)


def relative_distance(recomputed: np.ndarray, recorded: np.ndarray) -> float:
    """||recomputed - recorded|| / ||recorded||, in float64; infinite when only the record is 0."""
    apart, length = (float(np.linalg.norm(x)) for x in (recomputed.astype(np.float64) - recorded, recorded.astype(np.float64)))
    return apart / length if length else (0.0 if apart == 0.0 else math.inf)


def _images(path: str, recorded: bytes, recomputed: bytes, tolerance: Tolerance) -> tuple[dict[str, Value], str]:
    a, b = (decode_image(content, Path(path)) for content in (recorded, recomputed))
    if a.shape != b.shape:
        return {}, f"it has {b.shape[1]}x{b.shape[0]} pixels, recorded are {a.shape[1]}x{a.shape[0]}"
    ratio = psnr(a, b)
    measured: dict[str, Value] = {
        "max_level": int(np.abs(a.astype(np.int16) - b).max()),
        "psnr": ratio if math.isfinite(ratio) else None,
    }
    return measured, "" if ratio >= tolerance.psnr else f"PSNR is {ratio:.1f} dB, below {tolerance.psnr:g} dB"


def _tensors(recorded: Path, recomputed: Path, tolerance: Tolerance) -> tuple[dict[str, Value], str]:
    a, b = ({name: t.double().numpy() for name, t in load_tensors(path)[0].items()} for path in (recorded, recomputed))
    if {name: t.shape for name, t in a.items()} != {name: t.shape for name, t in b.items()}:
        return {}, "its tensors have other names or shapes"
    joined = [np.concatenate([change.ravel() for _, change in sorted(_changes(tensors).items())]) for tensors in (a, b)]
    return _numbers(joined[0], joined[1], tolerance)


def _changes(tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Of a LoRA what it adds to each layer, alpha / rank * up @ down: what it learned, which alphas and the half that starts
    at random would outweigh. Other tensors as they are.
    """
    downs = {name.removesuffix(_DOWN): down for name, down in tensors.items() if name.endswith(_DOWN)}
    if not all(f"{layer}{_UP}" in tensors for layer in downs) or not downs:
        return tensors
    return {
        layer: float(tensors.get(f"{layer}.alpha", len(down))) / len(down)
        * (tensors[f"{layer}{_UP}"].reshape(-1, len(down)) @ down.reshape(len(down), -1))
        for layer, down in downs.items()
    }  # fmt: skip


def _losses(recorded: Path, recomputed: Path, tolerance: Tolerance) -> tuple[dict[str, Value], str]:
    try:
        a, b = (np.array([float(line.split(",")[1]) for line in read_text(p).splitlines()[1:]]) for p in (recorded, recomputed))
    except (ValueError, IndexError):
        return {}, "it is no table of losses"
    return ({}, f"it has {len(b)} steps, recorded are {len(a)}") if len(a) != len(b) else _numbers(a, b, tolerance)


def _numbers(recorded: np.ndarray, recomputed: np.ndarray, tolerance: Tolerance) -> tuple[dict[str, Value], str]:
    distance = relative_distance(recomputed, recorded)
    measured: dict[str, Value] = {"max": float(np.abs(recomputed - recorded).max(initial=0.0))}
    if math.isfinite(distance):  # JSON has no infinity
        measured["distance"] = distance
    if distance <= tolerance.distance:
        return measured, ""
    return measured, f"it is {distance:.3g} of its length away, more than {tolerance.distance:g}"


def _texts(recorded: Path, recomputed: Path, tolerance: Tolerance) -> tuple[dict[str, Value], str]:
    """Equal but for hashes of files that are compared themselves."""
    a, b = (_without_hashes(read_text(path)) for path in (recorded, recomputed))
    return {}, "" if a == b else "its text differs"


def _without_hashes(text: str) -> Any:
    def drop(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key not in _NOT_COMPARED}

    try:
        return [json.loads(line, object_pairs_hook=drop) for line in text.splitlines()]
    except ValueError:
        pass
    try:
        return json.loads(text, object_pairs_hook=drop)
    except ValueError:
        return text


def with_features(comparisons: Sequence[Comparison], distances: Mapping[str, float], tolerance: Tolerance) -> list[Comparison]:
    """Add each image's relative feature distance, and refuse what lies beyond the tolerance."""
    added = []
    for found in comparisons:
        if (distance := distances.get(found.path)) is not None:
            problem = found.problem or (
                f"feature distance is {distance:.3g}, above {tolerance.distance:g}" if distance > tolerance.distance else ""
            )
            measured = {**found.measured, "feature_distance": distance}
            found = replace(found, measured=measured, problem=problem, holds=not problem)
        added.append(found)
    return added


@dataclass(frozen=True)
class Comparer:
    """Compares the files below two roots, the record's and that of a second computation."""

    recorded: Path
    recomputed: Path
    tolerance: Tolerance

    def files(self, path: str) -> list[Comparison]:
        """Return one comparison of a file: byte for byte, else by what its kind means; of a shard, one of each image in it.

        Features are compared in `with_features`.
        """
        if path.endswith(".png"):
            return self.images([path])
        recorded, recomputed = self.recorded / path, self.recomputed / path
        if not recomputed.is_file():
            return [Comparison(path, False, False, NOT_MADE)]
        if cmp(recorded, recomputed, shallow=False):
            return [Comparison(path, True, True)]
        if not path.endswith(".tar"):
            compare = {".safetensors": _tensors, ".csv": _losses}.get(recorded.suffix, _texts)
            return [_compared(path, lambda: compare(recorded, recomputed, self.tolerance))]
        found = self.images(_images_in(self.recorded, path))
        same_images = all(comparison.equal for comparison in found)
        return [Comparison(path, False, False, "it differs, and not in its images")] if same_images else found

    def images(self, paths: Iterable[str]) -> list[Comparison]:
        """Compare images by their paths, each on its own."""
        return [self._image(path) for path in paths]

    def _image(self, path: str) -> Comparison:
        try:
            recorded = self._both[0].read(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read, so there is nothing to compare with; 'dvc pull' fetches it") from error
        try:
            recomputed = self._both[1].read(path)
        except FileNotFoundError:
            return Comparison(path, False, False, NOT_MADE)
        if recorded == recomputed:
            return Comparison(path, True, True)
        return _compared(path, lambda: _images(path, recorded, recomputed, self.tolerance))

    @cached_property
    def _both(self) -> tuple[Images, Images]:
        return Images(self.recorded), Images(self.recomputed)


def _compared(path: str, compare: Callable[[], tuple[dict[str, Value], str]]) -> Comparison:
    """Return what `compare` measures of a file that is not byte-equal; what cannot be read does not hold."""
    try:
        measured, problem = compare()
    except UserError as error:
        measured, problem = {}, str(error)
    return Comparison(path, False, not problem, problem, measured)


def _images_in(root: Path, shard: str) -> list[str]:
    folder, _, name = shard.rpartition("/")
    rows = read_jsonl(root / folder / Layout().manifest(0).name, ("file",))
    return [f"{folder}/{row['file']}" for row in rows if row.get("shard") == name]
