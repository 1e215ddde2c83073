"""Presets: named sets of values that are written into params.yaml, comments kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import params
from pipeline.errors import UserError
from pipeline.storage import read_text, write_text

FOLDER = Path("presets")


def available(folder: Path = FOLDER) -> dict[str, str]:
    """Name and purpose (the file's first comment line) of every preset."""
    return {path.stem: read_text(path).partition("\n")[0].lstrip("# ") for path in sorted(folder.glob("*.yaml"))}


def apply(name: str, file: Path = params.FILE, folder: Path = FOLDER) -> dict[str, tuple[Any, Any]]:
    """Write preset `name` into params.yaml; returns what changed: {key: (before, after)}."""
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UserError(f"there is no preset {name!r} in {folder}; the presets are {', '.join(known) or 'none'}")
    path = folder / f"{name}.yaml"
    values = _parse(read_text(path), str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold 'key: value' lines, got {values!r}")
    return assign(values, file, path)


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """["cfg=2.5", ...] -> {"cfg": 2.5, ...}, the values read as YAML. Raises UserError for what is not KEY=VALUE."""
    values = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UserError(f"{text!r} is not KEY=VALUE; write for example cfg=2.5")
        values[key] = _parse(value, text)
    return values


def _parse(text: str, source: str) -> Any:
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError) as error:
        raise UserError(f"{source} cannot be read as YAML: {' '.join(str(error).split())}") from error


def assign(values: dict[str, Any], file: Path = params.FILE, source: Path | None = None) -> dict[str, tuple[Any, Any]]:
    """Write `values` into params.yaml after checking the whole of it; problems are said of `source`, where they come from."""
    current = params.load(file).model_dump()
    params.check(current | values, source or file)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 200
    document = yaml.load(file)
    changed = {}
    for key, value in values.items():
        if document.get(key) != value:
            changed[key] = (document.get(key), value)
        document[key] = value
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    write_text(file, buffer.getvalue())
    return changed
