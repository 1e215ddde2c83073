"""Read a stage's files and tell, in one sentence, when they are of an older version of the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.storage import read_json


def read_keys(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """A JSON object that has every one of `keys`, where "a.b" is b in a. Raises UserError when it is missing or lacks one."""
    value = read_json(path)
    if missing := [key for key in keys if not _has(value, key)]:
        raise UserError(f"{path} lacks {', '.join(missing)}: an older version made it; make it again with 'dvc repro'")
    return value


def read_array(path: Path, name: str) -> np.ndarray:
    """One tensor of a safetensors file. Raises UserError when the file is missing or damaged, or lacks the tensor."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')")
    try:
        with safe_open(path, framework="np") as file:
            names = set(file.keys())
            array: np.ndarray | None = file.get_tensor(name) if name in names else None
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}); fetch or make it again") from error
    if array is None:
        raise UserError(f"{path} lacks {name}: an older version made it; make it again with 'dvc repro'")
    return array


def _has(value: Any, key: str) -> bool:
    first, _, rest = key.partition(".")
    if not isinstance(value, Mapping) or first not in value:
        return False
    return _has(value[first], rest) if rest else True
