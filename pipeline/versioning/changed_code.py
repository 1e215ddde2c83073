"""Tell which of the modules that stages ran are others in the work tree, or in a commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.versioning.committed import committed_files
from pipeline.versioning.dvc_lock import StageEntry
from pipeline.versioning.hashes import digest_bytes, digest_file, files_below, folder_md5


def changed_code(root: Path, stages: Mapping[str, StageEntry]) -> list[str]:
    """Return modules below `root` that are not those that the stages ran, by dvc.lock's record."""
    return _others(stages, lambda path: code_md5(root, path))


def changed_code_at(root: Path, commit: str, stages: Mapping[str, StageEntry]) -> list[str]:
    """As `changed_code`, for the modules as a commit of the project at `root` holds them."""
    modules = sorted({path for path, _ in _modules(stages)})
    md5s = {path: digest_bytes(content).md5 for path, content in committed_files(root, commit, modules).items()}
    return _others(stages, lambda path: _md5(path, md5s))


def code_md5(root: Path, path: str) -> str | None:
    """Return DVC's hash of a module, or of a folder of modules; None where it is not there."""
    digests = {name: digest_file(root / name) for name in files_below(root, path)}
    return _md5(path, {name: digest.md5 for name, digest in digests.items() if digest is not None})


def _others(stages: Mapping[str, StageEntry], md5_of: Callable[[str], str | None]) -> list[str]:
    return sorted({path for path, md5 in _modules(stages) if md5_of(path) != md5})


def _modules(stages: Mapping[str, StageEntry]) -> set[tuple[str, str]]:
    """(path, md5) of the code that the stages ran."""
    return {(item.path, item.md5) for stage in stages.values() for item in stage.deps if item.is_code}


def _md5(path: str, md5s: Mapping[str, str]) -> str | None:
    """Return DVC's hash of a file, or of a folder, from those of files."""
    inside = {name.removeprefix(f"{path}/"): md5 for name, md5 in md5s.items() if name.startswith(f"{path}/")}
    return folder_md5(inside) if inside else md5s.get(path)
