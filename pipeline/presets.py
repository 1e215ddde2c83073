"""Presets: named sets of values that are written into params.yaml, comments kept."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline import params
from pipeline.errors import UserError
from pipeline.storage import write_text

FOLDER = Path("presets")


def available(folder: Path = FOLDER) -> dict[str, str]:
    """Name and purpose (the file's first comment line) of every preset."""
    return {path.stem: path.read_text().splitlines()[0].lstrip("# ") for path in sorted(folder.glob("*.yaml"))}


def apply(name: str, file: Path = params.FILE, folder: Path = FOLDER) -> dict[str, tuple[Any, Any]]:
    """Write preset `name` into params.yaml; returns what changed: {key: (before, after)}."""
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"there is no preset {name!r}; the presets are {', '.join(available(folder))}")
    return assign(YAML(typ="safe").load(path) or {}, file)


def assign(values: dict[str, Any], file: Path = params.FILE) -> dict[str, tuple[Any, Any]]:
    """Write `values` into params.yaml after checking the whole of it; text is read as YAML ("2.5" is a number)."""
    params.load(file)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 200
    document = yaml.load(file)
    changed = {}
    for key, value in values.items():
        parsed = YAML(typ="safe").load(value) if isinstance(value, str) else value
        if document.get(key) != parsed:
            changed[key] = (document.get(key), parsed)
        document[key] = parsed
    params.check(_plain(document), file)
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    write_text(file, buffer.getvalue())
    return changed


def _plain(document: Any) -> dict[str, Any]:
    """A round-trip YAML document as plain Python values."""
    buffer = io.StringIO()
    YAML().dump(document, buffer)
    return YAML(typ="safe").load(buffer.getvalue())
