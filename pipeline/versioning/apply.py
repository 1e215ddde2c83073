"""Put an experiment's tracked files (params.yaml, dvc.lock, report/summary.json) into the work tree, losing nothing there."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.versioning.git import git


def apply_commit(root: Path, commit: str, force: bool) -> list[str]:
    """Write the files in which `commit` differs from HEAD, and return their names; HEAD stays where it is.

    `dvc exp apply` cannot be used: like `dvc exp save` it fails in a checkout with submodules. Raises UserError when one
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
    """Hash of a file in a commit; None where it has no such file."""
    line = git(root, "ls-tree", commit, "--", name)
    return line.split()[2] if line else None
