"""The runs that a project knows: its work tree, and every version of dvc.lock in Git, DVC's experiments included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.sets import image_bytes
from pipeline.shards import Row
from pipeline.verify.locked import FILE, Stage, parse_lock, read_lock
from pipeline.verify.tracked import git

if TYPE_CHECKING:
    from pipeline.compare.revisions import Source

WORKSPACE = "workspace"
_EXPERIMENTS = "refs/exps/"


@dataclass(frozen=True)
class WorkTree:
    """The files of the project at `root`, as they are now."""

    root: Path

    def read(self, path: Path) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read here; fetch it with 'dvc pull {path.parent.as_posix()}'") from error

    def read_image(self, folder: Path, row: Row) -> bytes:
        return image_bytes(self.root / folder, row)

    def has(self, path: Path) -> bool:
        return (self.root / path).exists()


@dataclass(frozen=True)
class Run:
    """One state of the chain: where its files are, and what dvc.lock says of them."""

    name: str
    commit: str | None
    """Git's commit that holds the run's record, in full; of the work tree, HEAD."""
    files: Source
    stages: dict[str, Stage]

    def md5(self, path: str) -> str | None:
        """The recorded hash of an output."""
        return next((item.md5 for stage in self.stages.values() for item in stage.outs if item.path == path), None)


def work_tree(root: Path) -> Run:
    """Raises UserError when dvc.lock is damaged."""
    return Run(WORKSPACE, git(root, "rev-parse", "HEAD"), WorkTree(root), read_lock(root))


def other_runs(root: Path) -> Iterator[Run]:
    """Every version of dvc.lock in the history of any branch, tag or experiment, newest first; none without Git."""
    from pipeline.compare.revisions import Revision

    commits = (git(root, "log", "--all", "--format=%H", "--", FILE) or "").split()
    names = _names(root)
    for commit in commits:
        name = names.get(commit, commit[:7])
        text = git(root, "show", f"{commit}:{FILE}")
        if text is not None:
            yield Run(name, commit, Revision(name, commit, root), parse_lock(text, f"{FILE} of {name}"))


def _names(root: Path) -> dict[str, str]:
    """{commit: short name of the branch, tag or experiment that points to it}."""
    names = {}
    listed = git(root, "for-each-ref", "--format=%(objectname) %(*objectname) %(refname) %(refname:short)") or ""
    for line in listed.splitlines():
        *commits, ref, short = line.split()
        names[commits[-1]] = ref.rpartition("/")[2] if ref.startswith(_EXPERIMENTS) else short
    return names
