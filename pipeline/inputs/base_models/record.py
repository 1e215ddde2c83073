"""base.json: where a model below models/base came from, and the hash of every file, so that it can be checked offline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_file
from pipeline.core.json_files import read_json, write_json

FILE = "base.json"
_REQUIRED = {"name": str, "kind": str, "source": dict, "files": dict}


def write_record(folder: Path, name: str, kind: str, source: Mapping[str, Any], licence: str | None) -> dict[str, Any]:
    """Hash every file in `folder`, write base.json beside them and return it."""
    record = {"name": name, "kind": kind, "source": dict(source), "licence": licence, "files": hashed(folder)}
    write_json(folder / FILE, record)
    return record


def read_record(folder: Path) -> dict[str, Any] | None:
    """Read the record of a fetched model; None for a folder that was not fetched. Raise UserError when it is damaged."""
    if not (folder / FILE).is_file():
        return None
    found: dict[str, Any] = read_json(folder / FILE, _REQUIRED)
    return found


def hashed(folder: Path) -> dict[str, dict[str, Any]]:
    """Return {path: {"bytes", "sha256"}} of every file below `folder` but the record."""
    return {name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for name, path in files_below(folder).items()}


def files_below(folder: Path) -> dict[str, Path]:
    """Return {path below `folder`: file} of every file but the record, which names the source: equal weights are equal M_0."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / FILE)
    return {path.relative_to(folder).as_posix(): path for path in files}


def origin(folder: Path, files: Mapping[str, str]) -> dict[str, Any] | None:
    """Return where the `files` {path: sha256} of a fetched model came from; None for a folder that was not fetched.

    Raise UserError when one of them is not the file that was fetched.
    """
    record = read_record(folder)
    if record is None:
        return None
    for path, digest in files.items():
        if record["files"].get(path, {}).get("sha256") != digest:
            raise UserError(
                f"{folder / path} is not the file that was fetched (sha256 differs); remove {folder}, and fetch it again"
            )
    return {"name": record["name"], "licence": record.get("licence"), **record["source"]}
