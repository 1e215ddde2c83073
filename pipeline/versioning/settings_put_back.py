"""Put back what an experiment that did not come to its end has changed in the work tree: its -S values, and dvc.lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.chain import params as parameters
from pipeline.chain import presets
from pipeline.chain.paths import Layout
from pipeline.core.files import write_bytes
from pipeline.versioning.dvc_lock import LOCK_FILE

_RECORDS = (Path(LOCK_FILE), Layout().summary)


@dataclass(frozen=True)
class Before:
    """What an experiment found: params.yaml, the values that it would set there, and the records that were there."""

    params: bytes
    values: Mapping[str, Any]
    records: Mapping[Path, bytes]


def look(root: Path, values: Mapping[str, Any]) -> Before:
    """Return what is there before an experiment that sets `values`, of which nothing is in params.yaml yet."""
    records = {path: (root / path).read_bytes() for path in _RECORDS if (root / path).is_file()}
    return Before((root / parameters.FILE).read_bytes(), values, records)


def put_back(root: Path, before: Before) -> Sequence[Path]:
    """Make params.yaml and the records what they were, but for edits that were made meanwhile; return which that changed."""
    changed = [path for path, content in before.records.items() if _content(root / path) != content]
    for path in changed:
        write_bytes(root / path, before.records[path])
    return [*([parameters.FILE] if _put_values_back(root / parameters.FILE, before) else []), *changed]


def _put_values_back(file: Path, before: Before) -> bool:
    content = _content(file)
    if content == before.params:
        return False
    found, were = _mapping(content or b""), _mapping(before.params)
    if content is None or found == were | dict(before.values):  # nobody but DVC has written it, in its own layout
        write_bytes(file, before.params)
        return True
    own = {key: were[key] for key, value in before.values.items() if key in were and found.get(key) == value != were[key]}
    if own:
        presets.assign(own, file)
    return bool(own)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _mapping(content: bytes) -> dict[str, Any]:
    """Return the values in a params.yaml; none where it cannot be read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe").load(content)
    except (YAMLError, UnicodeError):
        return {}
    return found if isinstance(found, dict) else {}
