"""DVC experiments as Git holds them, commits under refs/exps: find them, and put one's files into the work tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.versioning.git import git

UNFINISHED = ", to iteration "
"""In the subject of an experiment's commit while its chain runs."""


@dataclass(frozen=True)
class Experiment:
    """A saved chain: the commit that it started from, and its own; not complete while the chain runs."""

    reference: str
    baseline: str
    commit: str
    complete: bool = True


def experiments(clone: Path, name: str) -> list[Experiment]:
    """Return every experiment called `name`, of whichever commit."""
    lines = git(clone, "for-each-ref", "--format=%(refname) %(objectname) %(subject)", f"refs/exps/*/*/{name}").splitlines()
    rows = [line.split(maxsplit=2) for line in lines]
    return [Experiment(ref, "".join(ref.split("/")[2:4]), commit, UNFINISHED not in text) for ref, commit, text in rows]


def write_experiment_files(root: Path, commit: str, force: bool) -> list[str]:
    """Write an experiment's params.yaml, dvc.lock and summary into the work tree and return their names; HEAD stays.

    `dvc exp apply` cannot be used: like `dvc exp save` it fails in a checkout with submodules. Raise UserError when one
    of the files was changed here (unless `force`).
    """
    names = git(root, "diff", "--name-only", "--no-renames", "--ignore-submodules", "HEAD", commit).splitlines()
    if not force:
        for name in names:
            _check_unchanged(root, commit, name)
    for name in names:
        if _blob(root, commit, name) is None:
            (root / name).unlink(missing_ok=True)
    present = [name for name in names if _blob(root, commit, name) is not None]
    if present:
        git(root, "restore", f"--source={commit}", "--worktree", "--", *present)
    return names


def _check_unchanged(root: Path, commit: str, name: str) -> None:
    """Raise UserError unless the file is as HEAD or `commit` has it."""
    here = git(root, "hash-object", name) if (root / name).is_file() else None
    if here not in (_blob(root, "HEAD", name), _blob(root, commit, name)):
        raise UserError(
            f"{name} differs from the last commit, and the experiment would overwrite it; "
            "commit it, or 'git stash' it, or give --force to lose it"
        )


def _blob(root: Path, commit: str, name: str) -> str | None:
    """Return the hash of a file in a commit; None where it has no such file."""
    line = git(root, "ls-tree", commit, "--", name)
    return line.split()[2] if line else None
