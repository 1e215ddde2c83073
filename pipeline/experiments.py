"""Checks before `dvc exp`: its own failures in an unready Git checkout are riddles, and can cost params.yaml."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipeline.errors import UserError

_NEEDED = ("params.yaml", "dvc.yaml")


def check_git(root: Path) -> None:
    """Raise UserError unless `root` is a Git checkout with an identity, and with params.yaml and dvc.yaml committed."""
    if _git(root, "rev-parse", "--verify", "HEAD") is None:
        raise UserError("experiments are kept in Git, and here is no commit; run 'git init', 'git add -A' and 'git commit'")
    if not _git(root, "config", "user.name") or not _git(root, "config", "user.email"):
        raise UserError(
            "an experiment is a commit, and Git does not know who you are; "
            "run 'git config user.name NAME' and 'git config user.email ADDRESS'"
        )
    for name in _NEEDED:
        if _git(root, "ls-files", "--error-unmatch", name) is None:
            raise UserError(f"{name} is not in Git, and a failing experiment could delete it; 'git add' and 'git commit' it")


def _git(root: Path, *arguments: str) -> str | None:
    """Output of a git command; None when it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
