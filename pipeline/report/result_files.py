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
    keys = tuple(keys)
    if missing := [key for key in keys if not _has(value, key)]:
        raise UserError(f"{path} lacks {', '.join(missing)}: an older version made it; make it again with 'dvc repro'")
    for key in keys:
        found = reduce(lambda inner, name: inner[name], key.split("."), value)
        if not _fits(key, found):
            raise UserError(
                f"{path}: {key} must be {'text' if key in _IN_WORDS else 'a number'}, got {short_repr(found)}; {_REMEDY}"
            )
    return value


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


def _has(value: Any, key: str) -> bool:
    first, _, rest = key.partition(".")
    if not isinstance(value, Mapping) or first not in value:
        return False
    return _has(value[first], rest) if rest else True
