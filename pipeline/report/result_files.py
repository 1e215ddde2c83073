"""Read a stage's files and tell, in one sentence, when they are of an older version of the pipeline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.chain.image_sets import read_features
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.guards import fault_of_text, short_repr
from pipeline.core.json_files import read_json

if TYPE_CHECKING:
    import numpy as np

_IN_WORDS = frozenset({"feature", "fingerprint.denoiser"})
"""The keys that are read whose values are no numbers."""

_NEVER_NULL = frozenset({"fid", "fid_1", "fid_floor", "fid_floor_n", "recall", "precision"})

_MISSING = object()

_REMEDY = "restore it with 'dvc checkout', or make it again with 'dvc repro'"


class StoredFeatures:
    """Features of D_0..D_K, [`counts`[k],d] float32 each, read when they are asked for: all at once could fill the memory."""

    def __init__(self, layout: Layout, counts: Sequence[int]) -> None:
        self._layout, self._counts = layout, tuple(counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __getitem__(self, k: int) -> np.ndarray:
        """Read one set. Raise UserError as `read_features` does, IndexError beyond K."""
        return read_features(self._layout, k, self._counts[k])


def read_keys(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Read a JSON object that has all `keys`, where "a.b" is b in a. Raise UserError when it is missing or lacks one."""
    value = read_json(path)
    found = {key: reduce(_inner, key.split("."), value) for key in keys}
    if missing := [key for key, inner in found.items() if inner is _MISSING]:
        raise UserError(f"{path} lacks {', '.join(missing)}: an older version made it; make it again with 'dvc repro'")
    for key, inner in found.items():
        if not _fits(key, inner):
            raise UserError(
                f"{path}: {key} must be {'text' if key in _IN_WORDS else 'a number'}, got {short_repr(inner)}; {_REMEDY}"
            )
    return value


def _inner(value: Any, name: str) -> Any:
    return value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING


def _fits(key: str, value: Any) -> bool:
    if key in _IN_WORDS:
        return _is_words(value)
    return _is_numbers(value) or (value is None and key not in _NEVER_NULL)


def _is_numbers(value: Any) -> bool:
    """Is it a finite number, or lists and mappings of such?"""
    if isinstance(value, list):
        return all(map(_is_numbers, value))
    if isinstance(value, Mapping):
        return all(map(_is_numbers, value.values()))
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _is_words(value: Any) -> bool:
    """Is it text that can be shown, or a mapping to such, with whole numbers among it?"""
    if isinstance(value, Mapping):
        return all(isinstance(part, int) or _is_words(part) for part in value.values())
    return isinstance(value, str) and fault_of_text(value) is None
