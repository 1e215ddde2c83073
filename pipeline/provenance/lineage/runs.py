"""The runs that a project knows: its work tree, and every version of dvc.lock in Git, DVC's experiments included; and the
commit that first recorded an output.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.provenance.lineage.ancestry import ancestors
from pipeline.versioning.changed_code import changed_code, changed_code_at
from pipeline.versioning.dvc_lock import LOCK_FILE, StageEntry, all_outputs, read_lock, read_lock_at
from pipeline.versioning.git import ask_git
from pipeline.versioning.revisions import WORKSPACE, Revision

_NO_RUNS = ("refs/stash", "refs/exps/stash", *(f"refs/exps/{kind}/*" for kind in ("apply", "celery", "exec", "temp")))
"""Git's and DVC's own notes among the references."""

_EXPERIMENT = r"exps/[0-9a-f]{2}/[0-9a-f]+/"
_KINDS = tuple(
    re.compile(f"refs/{kind}(.+)")
    for kind in ("heads/", _EXPERIMENT, "tags/", "remotes/", f"redifine/[^/]+/{_EXPERIMENT}", "redifine/[^/]+/heads/")
)
"""References that name a run; the first kind names it best."""


@dataclass(frozen=True)
class RecordedRun:
    """One state of the chain: what reads its files, with a UserError where it cannot, and what dvc.lock says of them."""

    name: str
    read: Callable[[Path], bytes]
    stages: dict[str, StageEntry]

    def md5(self, path: str) -> str | None:
        """Return the recorded hash of an output."""
        return next((item.md5 for item, _ in all_outputs(self.stages) if item.path == path), None)

    def read_mapping(self, path: Path) -> dict[str, Any]:
        """Return what a JSON file holds; nothing where it is not at hand, or damaged: dvc.lock's hash of it is still there."""
        with suppress(UserError, ValueError):
            value = json.loads(self.read(path))
            return value if isinstance(value, dict) else {}
        return {}


@dataclass(frozen=True)
class CodeVersion:
    """The version of this project that made an output."""

    commit: str | None
    """That first recorded it, in full; None where none has yet."""
    name: str | None
    """The branch, experiment or tag that points to the commit."""
    head: str | None
    """HEAD's commit, for an output that no commit records; None without Git."""
    changed: tuple[str, ...]
    """Modules of that commit (without Git, of the work tree) that are not those that ran."""


def work_tree(root: Path) -> RecordedRun:
    """Raise UserError when dvc.lock is damaged."""

    def read(path: Path) -> bytes:
        try:
            return (root / path).read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read here; fetch it with 'dvc pull {path.parent.as_posix()}'") from error

    return RecordedRun(WORKSPACE, read, read_lock(root))


def other_runs(root: Path) -> Iterator[RecordedRun]:
    """Yield every version of dvc.lock in the history of any branch, tag or experiment, newest first; none without Git."""
    names = names_of_commits(root)
    for commit in recording_commits(root):
        name = names.get(commit, commit[:7])
        if (stages := read_lock_at(root, commit, name)) is not None:
            yield RecordedRun(name, Revision(name, commit, root).read, stages)


def recording_commits(root: Path, *options: str) -> list[str]:
    """Return commits of any branch, tag or experiment that changed dvc.lock, as `git log` with these options orders them."""
    excluded = [f"--exclude={reference}" for reference in _NO_RUNS]
    return (ask_git(root, "log", *excluded, "--all", "--format=%H", *options, "--", LOCK_FILE) or "").split()


def names_of_commits(root: Path, *below: str) -> dict[str, str]:
    """Return {commit: name of the branch, experiment or tag that points to it}, of all references or those `below` some."""
    listed = ask_git(root, "for-each-ref", "--format=%(objectname) %(*objectname) %(refname)", *below) or ""
    named: dict[str, list[tuple[int, str]]] = {}
    for *commits, reference in map(str.split, listed.splitlines()):
        for rank, kind in enumerate(_KINDS):
            if found := kind.fullmatch(reference):
                named.setdefault(commits[-1], []).append((rank, found[1]))
    return {commit: min(found)[1] for commit, found in named.items()}


def first_recording_commit(root: Path, path: str, md5: str) -> tuple[str, dict[str, StageEntry]] | None:
    """Return the oldest commit of any branch, experiment or tag whose dvc.lock has the output `path` with this DVC hash, and
    the stages of that dvc.lock.

    None where no commit has it, and without Git.
    """
    for commit in recording_commits(root, f"-S{md5}", "-m", "--full-history", "--date-order", "--reverse"):
        with suppress(UserError):  # a damaged dvc.lock records nothing
            stages = read_lock_at(root, commit) or {}
            if any((item.path, item.md5) == (path, md5) for item, _ in all_outputs(stages)):
                return commit, stages
    return None


def code_version_of(root: Path, path: str, md5: str, stages: dict[str, StageEntry]) -> CodeVersion:
    """Return what made the output `path`; `stages`, its ancestors as they are recorded here, count while no commit has it."""
    if found := first_recording_commit(root, path, md5):
        commit, recorded = found
        ran = {stage.name: stage for stage in ancestors(recorded, path)}
        return CodeVersion(commit, names_of_commits(root).get(commit), None, tuple(changed_code_at(root, commit, ran)))
    head = ask_git(root, "rev-parse", "HEAD")
    changed = changed_code_at(root, head, stages) if head else changed_code(root, stages)
    return CodeVersion(None, None, head, tuple(changed))
