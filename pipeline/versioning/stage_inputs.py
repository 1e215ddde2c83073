"""What a stage read as it began, and whether it is still the same: DVC records what lies there when the stage has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes
from pipeline.core.guards import short_repr
from pipeline.core.loaded_code import changed_after_imports, code_at_start, code_on_disk
from pipeline.versioning.dvc_lock import all_outputs, is_code, read_lock
from pipeline.versioning.hashes import cache_folder, digest_file, files_below, read_listing

Signature = tuple[int, int, int]
"""A file's size in bytes, time of change in ns, and inode: what DVC, too, knows an unchanged file by."""


@dataclass(frozen=True)
class StageInputs:
    """The values of a stage's parameters; {path: md5} of its code, and {path: signature} of the other files that it reads."""

    stage: str
    params: Mapping[str, Any]
    code: Mapping[str, str]
    data: Mapping[str, Signature]

    def key(self) -> str:
        """Return a name for what the stage makes from exactly this."""
        return f"{self.stage}-{sha256_bytes(json.dumps(asdict(self), sort_keys=True).encode())[:16]}"


def inputs_at_start(root: Path, stage: str, params: Mapping[str, Any], deps: tuple[str, ...]) -> StageInputs:
    """Return what `stage` starts from: `params` as it has read them, its code as this process loaded it, and its files."""
    return StageInputs(stage, params, _below(deps, code_at_start(root)), _signatures(root, deps))


def inputs_now(root: Path, stage: str, params: Mapping[str, Any], deps: tuple[str, ...]) -> StageInputs:
    """Return the same as DVC would find it now."""
    return StageInputs(stage, params, _below(deps, code_on_disk(root)), _signatures(root, deps))


def _below(deps: tuple[str, ...], code: Mapping[str, str]) -> dict[str, str]:
    return {path: md5 for path, md5 in code.items() if any(path == dep or path.startswith(f"{dep}/") for dep in deps)}


def _signatures(root: Path, deps: tuple[str, ...]) -> dict[str, Signature]:
    found: dict[str, Signature] = {}
    for path in (path for dep in deps if not is_code(dep) for path in files_below(root, dep)):
        try:
            status = (root / path).stat()
        except OSError:  # gone since it was listed
            continue
        found[path] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found


@dataclass(frozen=True)
class Changes:
    """What is other now than a stage read: parameters in words, and paths of modules and of other files."""

    params: tuple[str, ...]
    code: tuple[str, ...]
    data: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.params or self.code or self.data)

    def is_certain(self, root: Path) -> bool:
        """Return whether it is certain that what ran is what was noted, and nothing of what is there now.

        Parameters are read once, at the start; code until all is imported; other files at any time.
        """
        return not self.data and all(changed_after_imports(root / path) for path in self.code)


def changes(root: Path, before: StageInputs, now: StageInputs) -> Changes:
    """Compare what a stage read with what is there now. A file that was only touched, or linked anew, has not changed."""
    params = [
        f"{name} ({short_repr(value)}, now {short_repr(now.params.get(name))})"
        for name, value in before.params.items()
        if now.params.get(name, _MISSING) != value
    ]
    return Changes(tuple(params), tuple(_differing(before.code, now.code)), tuple(_changed_data(root, before, now)))


_MISSING = object()


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(path for path in {*before, *now} if before.get(path) != now.get(path))


def _changed_data(root: Path, before: StageInputs, now: StageInputs) -> Iterator[str]:
    """Yield files whose signature has changed, but for those whose content is the one that dvc.lock has of them."""
    others = _differing(before.data, now.data)
    recorded = _recorded_files(root) if others else {}
    for path in others:
        digest = digest_file(root / path)
        if digest is None or path not in before.data or recorded.get(path) != digest.md5:
            yield path


def _recorded_files(root: Path) -> dict[str, str]:
    """Return {path: md5} of the files that the stages before have written, by dvc.lock and the lists in DVC's cache."""
    found: dict[str, str] = {}
    cache = cache_folder(root)
    try:
        stages = read_lock(root)
    except UserError:
        return found
    for item, _ in all_outputs(stages):
        if not item.is_folder:
            found[item.path] = item.md5
        elif listing := read_listing(cache, item.md5):
            found |= {f"{item.path}/{name}": md5 for name, md5 in listing.items()}
    return found
