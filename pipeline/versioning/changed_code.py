"""Tell which of the modules that stages ran are others in the work tree, or in a commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.versioning.dvc_lock import StageEntry
from pipeline.versioning.git import committed_files
from pipeline.versioning.hashes import digest_bytes, digest_file, files_below, folder_md5


def changed_code(root: Path, stages: Mapping[str, StageEntry]) -> list[str]:
    """Return modules below `root` that are not those that the stages ran, by dvc.lock's record."""
    files = {name: digest_file(root / name) for path, _ in _modules(stages) for name in files_below(root, path)}
    return _others(stages, {name: digest.md5 for name, digest in files.items() if digest is not None})


def changed_code_at(root: Path, commit: str, stages: Mapping[str, StageEntry]) -> list[str]:
    """Do as `changed_code` does, for the modules as a commit of the project at `root` holds them."""
    held = committed_files(root, commit, sorted({path for path, _ in _modules(stages)}))
    return _others(stages, {path: digest_bytes(content).md5 for path, content in held.items()})


def _others(stages: Mapping[str, StageEntry], md5s: Mapping[str, str]) -> list[str]:
    return sorted({path for path, md5 in _modules(stages) if code_md5(path, md5s) != md5})


def _modules(stages: Mapping[str, StageEntry]) -> set[tuple[str, str]]:
    """(path, md5) of the code that the stages ran."""
    return {(item.path, item.md5) for stage in stages.values() for item in stage.deps if item.is_code}


def code_md5(path: str, md5s: Mapping[str, str]) -> str | None:
    """Return DVC's hash of a file, or of a folder, from those of files."""
    inside = {name.removeprefix(f"{path}/"): md5 for name, md5 in md5s.items() if name.startswith(f"{path}/")}
    return folder_md5(inside) if inside else md5s.get(path)
