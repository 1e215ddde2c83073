"""Tell which of the modules that stages ran have changed since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.verify.hashes import digest_file, files_below
from pipeline.verify.locked import Stage, folder_md5


def changed_code(root: Path, stages: Mapping[str, Stage]) -> list[str]:
    """Modules below `root` that are not those that the stages ran, by dvc.lock's record."""
    ran = {(item.path, item.md5) for stage in stages.values() for item in stage.deps if item.is_code}
    return sorted({path for path, md5 in ran if code_md5(root, path) != md5})


def code_md5(root: Path, path: str) -> str | None:
    """DVC's hash of a module, or of a folder of modules; None where it is not there."""
    digests = {name: digest_file(root / name) for name in files_below(root, path)}
    md5s = {name: digest.md5 for name, digest in digests.items() if digest is not None}
    if (root / path).is_dir():
        return folder_md5({name.removeprefix(f"{path}/"): md5 for name, md5 in md5s.items()})
    return md5s.get(path)
