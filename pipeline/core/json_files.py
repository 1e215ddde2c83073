"""JSON and JSON-lines files: sorted keys, no NaN; what others may have edited is checked when it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import read_text, write_text
from pipeline.core.guards import fault_of_text, is_file_name, is_inner_path


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented, keys sorted. Raise ValueError for NaN and infinity, which JSON does not have."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = [json.dumps(row, sort_keys=True, allow_nan=False, ensure_ascii=False) for row in rows]
    write_text(path, "".join(line + "\n" for line in lines))


def read_json(path: Path, required: Mapping[str, type | UnionType] | None = None) -> Any:
    """Read a JSON file. Raise UserError when it is damaged, or no mapping with the `required` keys and types."""
    try:
        value = parse_json(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore it with 'dvc checkout'") from error
    found = value if isinstance(value, dict) else {}
    if missing := [key for key, kind in (required or {}).items() if not has_type(found.get(key), kind)]:
        raise UserError(
            f"{path} lacks {', '.join(missing)}, or has another kind of value there; "
            "restore it with 'dvc checkout', or make it again with 'dvc repro -f'"
        )
    return value


def read_jsonl(path: Path, required: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Read a JSON-lines file. Raise UserError when one is damaged, or lacks a `required` key or its kind of value."""
    return parse_jsonl(read_text(path), str(path), tuple(required), "restore it with 'dvc checkout'")


def parse_jsonl(text: str, name: str, required: Sequence[str], remedy: str) -> list[dict[str, Any]]:
    """Parse JSON lines. Raise UserError, with what to do about it, when one is damaged or lacks what is `required`."""
    rows = []
    # Not splitlines(): it also breaks at characters that a caption may hold, such as U+2028.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        if not line:
            continue
        try:
            row = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{name}, line {number} is not valid JSON ({error}); {remedy}") from error
        if not isinstance(row, dict) or not all(is_valid_field(key, row.get(key)) for key in required):
            wanted = f"{', '.join(required)}, with plain text, numbers and paths inside the set"
            raise UserError(f"{name}, line {number} must have {wanted}; {remedy}")
        rows.append(row)
    return rows


def parse_json(text: str) -> Any:
    """Parse JSON without NaN and infinity, which Python's reader lets through. Raise ValueError, RecursionError."""

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is no JSON number")

    return json.loads(text, parse_constant=refuse)


def has_type(value: Any, kind: type | UnionType) -> bool:
    """Tell whether a value is of a type; true and infinity (which may be written 1e999) are no numbers."""
    return isinstance(value, kind) and not isinstance(value, bool) and not (isinstance(value, float) and math.isinf(value))


def is_valid_field(key: str, value: Any) -> bool:
    """Tell whether a value is allowed under `key` in one of the chain's lists of images, captions or prompts."""
    if key in ("index", "prompt_index", "image_index", "k", "offset", "size"):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not isinstance(value, str) or fault_of_text(value):
        return False
    if key in ("file", "shard"):
        return is_file_name(value)
    return key != "path" or is_inner_path(value)
