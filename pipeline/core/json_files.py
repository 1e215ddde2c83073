"""JSON and JSON-lines files: sorted keys, no NaN; what others may have edited is checked when it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import read_text, write_text
from pipeline.core.guards import fits, is_a, parsed_json


def write_json(path: Path, value: Any) -> None:
    """Indented, keys sorted; NaN and infinity are refused with ValueError, because JSON has none."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = [json.dumps(row, sort_keys=True, allow_nan=False, ensure_ascii=False) for row in rows]
    write_text(path, "".join(line + "\n" for line in lines))


def read_json(path: Path, required: Mapping[str, type | UnionType] | None = None) -> Any:
    """Content of a JSON file. Raises UserError when it is damaged, or no mapping with the `required` keys and types."""
    try:
        value = parsed_json(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore it with 'dvc checkout'") from error
    found = value if isinstance(value, dict) else {}
    if missing := [key for key, kind in (required or {}).items() if not is_a(found.get(key), kind)]:
        raise UserError(
            f"{path} lacks {', '.join(missing)}, or has another kind of value there; "
            "restore it with 'dvc checkout', or make it again with 'dvc repro -f'"
        )
    return value


def read_jsonl(path: Path, required: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file. Raises UserError when one is damaged, or lacks a `required` key or its kind of value."""
    required = tuple(required)
    rows = []
    # Not splitlines(): it also breaks at characters that a caption may hold, such as U+2028.
    for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), 1):
        if not line:
            continue
        try:
            row = parsed_json(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number} is not valid JSON ({error}); restore it with 'dvc checkout'") from error
        if not isinstance(row, dict) or not all(fits(key, row.get(key)) for key in required):
            raise UserError(
                f"{path}, line {number} must have {', '.join(required)}, with plain text, numbers and paths inside the set; "
                "restore it with 'dvc checkout'"
            )
        rows.append(row)
    return rows
