"""The owner's files that a plain `dvc exp apply` has put away under refs/exps/apply/stash, and that its next one drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.versioning.experiment_files import held_commits
from pipeline.versioning.git import ask_git, blobs_at, committed_paths, content_id, git
from pipeline.versioning.run_at_work import check_no_run

_REFERENCE = "refs/exps/apply/stash"
_NO_FILE = ("160000", "000000")
"""Git's modes of a submodule, and of what is gone."""


@dataclass(frozen=True)
class PutAway:
    """`files` {path: the commit that holds it} are in no other one, and not in the work tree as they were put away."""

    commit: str
    files: Mapping[str, str]

    def __str__(self) -> str:
        shown = ", ".join(sorted(self.files)[:3]) + (", ..." if len(self.files) > 3 else "")
        return f"a plain 'dvc exp apply' put away {shown}; 'redifine exp restore' brings that back"


def put_away(root: Path) -> PutAway | None:
    """Return what lies there and nowhere else; None where that is nothing."""
    commit = ask_git(root, "rev-parse", "--verify", "--quiet", f"{_REFERENCE}^{{commit}}")
    if commit is None:
        return None
    # As `git stash` has it: the work tree on top of HEAD, and as its third parent the files that Git did not know.
    places = dict.fromkeys(_changed(root, f"{commit}^1", commit), commit)
    if ask_git(root, "rev-parse", "--verify", "--quiet", f"{commit}^3") is not None:
        places |= dict.fromkeys(committed_paths(root, f"{commit}^3"), f"{commit}^3")
    held = [*held_commits(root), "HEAD"]
    files = {path: place for path, place in places.items() if not _is_held(root, path, place, held)}
    return PutAway(commit, files) if files else None


def _changed(root: Path, before: str, after: str) -> list[str]:
    """Return the files that `after` has otherwise; no submodules."""
    listed = (ask_git(root, "diff-tree", "-r", "-z", "--relative", "--no-renames", before, after) or "").split("\0")
    pairs = zip(listed[0::2], listed[1::2], strict=False)
    return [path for about, path in pairs if about.split()[1] not in _NO_FILE]


def _is_held(root: Path, path: str, place: str, commits: Sequence[str]) -> bool:
    """Return whether the work tree, or one of the commits, has the file as it was put away."""
    return blobs_at(root, [place], path) <= {content_id(root, path), *blobs_at(root, commits, path)}


def restore(root: Path) -> list[str]:
    """Write what was put away back into the work tree, and return the files' names; the reference goes last.

    Raise UserError, and write nothing, where that would overwrite a file that is in no commit.
    """
    check_no_run(root)
    found = put_away(root)
    if found is None:
        return []
    held = [*held_commits(root), "HEAD"]
    for path, place in found.files.items():
        here = content_id(root, path)
        if here is not None and here not in blobs_at(root, held, path):
            raise UserError(
                f"{path} was edited after another one was put away, and would be overwritten; commit it, or move it aside, and "
                f"run this again ('git show {place[:7]}{place[40:]}:{path}' shows the one that was put away)"
            )
    for place in set(found.files.values()):
        names = [f":(literal){path}" for path, where in found.files.items() if where == place]
        git(root, "restore", f"--source={place}", "--worktree", "--", *names)
    git(root, "update-ref", "-d", _REFERENCE, found.commit)
    return sorted(found.files)
