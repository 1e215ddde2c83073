"""What a stage has finished and DVC has not recorded yet, kept as links in scratch/finished under a name for its inputs.

DVC removes the outputs of a stage before it starts it again. A stage that ended is computed again for nothing when DVC was
killed or could not go on before it had written dvc.lock, or when an input was changed meanwhile and is put back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, link_or_copy, remove_scratch
from pipeline.core.json_files import read_json, write_json
from pipeline.versioning.changed_code import code_md5
from pipeline.versioning.dvc_lock import StageEntry, read_lock
from pipeline.versioning.hashes import files_below
from pipeline.versioning.stage_inputs import StageInputs

_RECORD = "inputs.json"
_OLDER = "older"
"""Marks what is not of its stage's last run."""
_FIELDS = {"stage": str, "params": dict, "code": dict, "files": dict}


def _folder(root: Path) -> Path:
    return Layout(root).scratch / "finished"


def kept_at(root: Path, inputs: StageInputs) -> Path:
    """Return where what was made from `inputs` is, if it is kept."""
    return _folder(root) / inputs.key()


def keep(root: Path, inputs: StageInputs, outs: Sequence[str]) -> Path:
    """Keep what a stage has made from `inputs`; return where."""
    files = [path for out in outs for path in files_below(root, out)]
    place = kept_at(root, inputs)
    _mark_older(root, inputs.stage)
    with atomic_folder(place) as folder:
        for path in files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(root / path, folder / path)
        record = {"stage": inputs.stage, "params": dict(inputs.params), "code": dict(inputs.code)}
        write_json(folder / _RECORD, record | {"files": {path: _size_and_time(folder / path) for path in files}})
    return place


def bring_back(root: Path, inputs: StageInputs, outs: Sequence[str]) -> bool:
    """Put what was made from exactly `inputs` at its place, if it is kept and nobody has changed it since."""
    place = kept_at(root, inputs)
    record = _record(place)
    if record is None or any(_size_and_time(place / path) != found for path, found in record["files"].items()):
        return False
    _mark_older(root, inputs.stage)
    (place / _OLDER).unlink(missing_ok=True)
    for out in outs:
        if (place / out).is_dir():
            with atomic_folder(root / out) as folder:
                shutil.copytree(place / out, folder, copy_function=_link, dirs_exist_ok=True)
        elif (place / out).is_file():
            (root / out).parent.mkdir(parents=True, exist_ok=True)
            partial = (root / out).with_name(f".{Path(out).name}.partial")
            link_or_copy(place / out, partial)
            partial.replace(root / out)
        else:
            return False
    return True


def _mark_older(root: Path, stage: str) -> None:
    for place in _places(root):
        if place.name.startswith(f"{stage}-"):
            (place / _OLDER).touch()


def kept_last(root: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return (place, record) of what the last run of each stage has made, where it is kept."""
    found = ((place, _record(place)) for place in _places(root) if not (place / _OLDER).exists())
    return [(place, record) for place, record in found if record is not None]


def _link(source: str, target: str) -> None:
    link_or_copy(Path(source), Path(target))


def drop(place: Path) -> None:
    """Remove what is kept at `place`."""
    remove_scratch(place)


def drop_all(root: Path) -> None:
    """Remove all that is kept: the stages shall run, whatever they have finished."""
    for place in _places(root):
        drop(place)


def drop_recorded(root: Path) -> None:
    """Remove what dvc.lock records by now."""
    places = _places(root)
    stages = read_lock(root) if places else {}
    for place in places:
        record = _record(place)
        if record is None or _is_recorded(record, stages.get(record["stage"])):
            drop(place)


def _places(root: Path) -> list[Path]:
    folder = _folder(root)
    return sorted(place for place in folder.iterdir() if place.is_dir()) if folder.is_dir() else []


def _record(place: Path) -> dict[str, Any] | None:
    try:
        return read_json(place / _RECORD, _FIELDS)
    except (UserError, OSError):
        return None


def _is_recorded(record: Mapping[str, Any], entry: StageEntry | None) -> bool:
    """Return whether dvc.lock's entry is of what is kept: same parameters and code, and outputs of the same sizes."""
    if entry is None or any(record["params"].get(name) != value for name, value in entry.params.items()):
        return False
    if any(code_md5(item.path, record["code"]) != item.md5 for item in entry.deps if item.is_code):
        return False
    return all(item.size == _size(record["files"], item.path) for item in entry.outs)


def _size(files: Mapping[str, Sequence[int]], path: str) -> int:
    return sum(size for name, (size, _) in files.items() if name == path or name.startswith(f"{path}/"))


def _size_and_time(path: Path) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
