"""Presets: named sets of values that are written into params.yaml over its defaults, comments kept."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from pipeline.chain import params
from pipeline.core.errors import UserError
from pipeline.core.files import read_text, write_text

FOLDER = Path("presets")
ITERATIONS = 6
"""The paper's K, params.yaml's own; every other default is in `Params`."""

Changes = dict[str, tuple[Any, Any]]
"""{key: (before, after)} of what was changed."""


def available(folder: Path = FOLDER) -> dict[str, str]:
    """Return name and purpose (the file's first comment line) of every preset."""
    return {path.stem: read_text(path).partition("\n")[0].lstrip("# ") for path in sorted(folder.glob("*.yaml"))}


def write_presets(names: Sequence[str], file: Path = params.FILE, folder: Path = FOLDER) -> Changes:
    """Write into params.yaml the defaults with the presets `names` on top, where a later one wins.

    So the same names give the same values whatever the file held before. Raise UserError as `compose` does; then nothing
    is written.
    """
    return assign(compose(names, folder), file)


def compose(names: Sequence[str], folder: Path = FOLDER) -> dict[str, Any]:
    """Return the defaults with the presets `names` on top, where a later one wins.

    Raise UserError for an unknown name, and for a preset that does not hold what params.yaml knows.
    """
    values = defaults()
    for name in names:
        values |= _read(name, folder)
        params.check(values, folder / f"{name}.yaml")
    return values


def defaults() -> dict[str, Any]:
    """Return every parameter as params.yaml is delivered."""
    return params.check({"iterations": {str(k): {"prev": k - 1} for k in range(1, ITERATIONS + 1)}}).model_dump()


def _read(name: str, folder: Path) -> dict[str, Any]:
    """Return what the preset sets."""
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UserError(f"there is no preset {name!r} in {folder}; the presets are {', '.join(known) or 'none'}")
    path = folder / f"{name}.yaml"
    values = _parse(read_text(path), str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold 'key: value' lines, got {values!r}")
    return values


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse ["cfg=2.5", ...] -> {"cfg": 2.5, ...}, the values read as YAML. Raise UserError for what is not KEY=VALUE."""
    values = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UserError(f"{text!r} is not KEY=VALUE; write for example cfg=2.5")
        values[key] = _parse(value, text)
    return values


def _parse(text: str, source: str) -> Any:
    try:
        value = YAML(typ="safe").load(text)
        # In a file " #" begins a comment; who types text in a shell means all of it.
        return text.strip() if isinstance(value, str) and " #" in text and text.strip()[0] not in "\"'" else value
    except (YAMLError, ValueError) as error:
        raise UserError(f"{source} cannot be read as YAML: {' '.join(str(error).split())}") from error


def assign(values: Mapping[str, Any], file: Path = params.FILE) -> Changes:
    """Write `values` into params.yaml after checking the whole of it; what has its value already keeps its bytes."""
    params.check(params.load(file).model_dump() | dict(values), file)
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 200
    document = yaml.load(file)
    changed = {key: (document.get(key), value) for key, value in values.items() if document.get(key) != value}
    for key, (_, value) in changed.items():
        document[key] = _counted(value) if key == "iterations" else value
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    write_text(file, buffer.getvalue())
    return changed


class _Representer(RoundTripRepresenter):
    """Writes `null`, as params.yaml does, where ruamel writes nothing."""

    def represent_null(self, value: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_null)


def _counted(iterations: Mapping[str, Any]) -> CommentedMap:
    """Return the mapping `iterations` as params.yaml writes it: quoted keys, an entry a line."""
    entries = CommentedMap()
    for key, step in iterations.items():
        entry = CommentedMap(step)
        entry.fa.set_flow_style()
        entries[DoubleQuotedScalarString(key)] = entry
    return entries


def describe_changes(changes: Changes) -> list[str]:
    """Return a line for each change: "cfg: 7.5 -> 2.5"; of `iterations` their number."""
    return [f"{key}: {_short(before)} -> {_short(after)}" for key, (before, after) in changes.items()]


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(len(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
