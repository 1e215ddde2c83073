"""The runs that a project knows: its work tree, and every version of dvc.lock in Git, DVC's experiments included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.chain.image_sets import image_bytes
from pipeline.chain.shards import ManifestRow
from pipeline.core.errors import UserError
from pipeline.versioning.dvc_lock import LOCK_FILE, StageEntry, read_lock, read_lock_at
from pipeline.versioning.git import ask_git
from pipeline.versioning.revisions import WORKSPACE

if TYPE_CHECKING:
    from pipeline.versioning.revisions import ChainFiles

_NO_RUNS = ("refs/stash", "refs/exps/stash", *(f"refs/exps/{kind}/*" for kind in ("apply", "celery", "exec", "temp")))
"""Git's and DVC's own notes among the references."""

_EXPERIMENT = r"exps/[0-9a-f]{2}/[0-9a-f]+/"
_KINDS = tuple(
    re.compile(f"refs/{kind}(.+)")
    for kind in ("heads/", _EXPERIMENT, "tags/", "remotes/", f"redifine/[^/]+/(?:heads/|{_EXPERIMENT})")
)
"""References that name a run; the first kind names it best."""


@dataclass(frozen=True)
class WorkTreeFiles:
    """The files of the project at `root`, as they are now."""

    root: Path

    def read(self, path: Path) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read here; fetch it with 'dvc pull {path.parent.as_posix()}'") from error

    def read_image(self, folder: Path, row: ManifestRow) -> bytes:
        return image_bytes(self.root / folder, row)

    def has(self, path: Path) -> bool:
        return (self.root / path).exists()


@dataclass(frozen=True)
class RecordedRun:
    """One state of the chain: where its files are, and what dvc.lock says of them."""

    name: str
    files: ChainFiles
    stages: dict[str, StageEntry]

    def md5(self, path: str) -> str | None:
        """Return the recorded hash of an output."""
        return next((item.md5 for stage in self.stages.values() for item in stage.outs if item.path == path), None)


def work_tree(root: Path) -> RecordedRun:
    """Raise UserError when dvc.lock is damaged."""
    return RecordedRun(WORKSPACE, WorkTreeFiles(root), read_lock(root))


def other_runs(root: Path) -> Iterator[RecordedRun]:
    """Yield every version of dvc.lock in the history of any branch, tag or experiment, newest first; none without Git."""
    from pipeline.versioning.revisions import Revision

    names = names_of_commits(root)
    for commit in recording_commits(root):
        name = names.get(commit, commit[:7])
        if (stages := read_lock_at(root, commit, name)) is not None:
            yield RecordedRun(name, Revision(name, commit, root), stages)


def recording_commits(root: Path, *options: str) -> list[str]:
    """Commits of any branch, tag or experiment that changed dvc.lock, as `git log` with these options picks and orders them."""
    excluded = [f"--exclude={reference}" for reference in _NO_RUNS]
    return (ask_git(root, "log", *excluded, "--all", "--format=%H", *options, "--", LOCK_FILE) or "").split()


def names_of_commits(root: Path) -> dict[str, str]:
    """Return {commit: name of the branch, experiment or tag that points to it}"""
    listed = ask_git(root, "for-each-ref", "--format=%(objectname) %(*objectname) %(refname)") or ""
    named: dict[str, list[tuple[int, str]]] = {}
    for *commits, reference in map(str.split, listed.splitlines()):
        for rank, kind in enumerate(_KINDS):
            if found := kind.fullmatch(reference):
                named.setdefault(commits[-1], []).append((rank, found[1]))
    return {commit: min(found)[1] for commit, found in named.items()}
