"""The commit that first recorded an output, and whether it holds the code that made it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.provenance.lineage.ancestry import ancestors
from pipeline.provenance.lineage.runs import names_of_commits, recording_commits
from pipeline.versioning.changed_code import changed_code, changed_code_at
from pipeline.versioning.dvc_lock import StageEntry, all_outputs, read_lock_at
from pipeline.versioning.git import ask_git


@dataclass(frozen=True)
class RecordingCommit:
    """A commit whose dvc.lock has an output."""

    commit: str
    """In full."""
    name: str | None
    """The branch, experiment or tag that points to it."""
    stages: dict[str, StageEntry]


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


def first_recording_commit(root: Path, path: str, md5: str) -> RecordingCommit | None:
    """Return the oldest commit of any branch, experiment or tag whose dvc.lock has the output `path` with this DVC hash.

    None where no commit has it, and without Git.
    """
    for commit in recording_commits(root, f"-S{md5}", "-m", "--full-history", "--date-order", "--reverse"):
        stages = _stages_at(root, commit)
        if any((item.path, item.md5) == (path, md5) for item, _ in all_outputs(stages)):
            return RecordingCommit(commit, names_of_commits(root).get(commit), stages)
    return None


def _stages_at(root: Path, commit: str) -> dict[str, StageEntry]:
    """Return the stages of a commit's dvc.lock; none where it is damaged or not there."""
    with suppress(UserError):
        return read_lock_at(root, commit) or {}
    return {}


def code_version_of(root: Path, path: str, md5: str, stages: dict[str, StageEntry]) -> CodeVersion:
    """Return what made the output `path`; `stages`, its ancestors as they are recorded here, count while no commit has it."""
    if (found := first_recording_commit(root, path, md5)) is not None:
        ran = {stage.name: stage for stage in ancestors(found.stages, path)}
        return CodeVersion(found.commit, found.name, None, tuple(changed_code_at(root, found.commit, ran)))
    head = ask_git(root, "rev-parse", "HEAD")
    changed = changed_code_at(root, head, stages) if head else changed_code(root, stages)
    return CodeVersion(None, None, head, tuple(changed))
