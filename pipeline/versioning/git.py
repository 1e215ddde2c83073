"""Run Git: what it says, or why it refuses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pipeline.core.errors import UserError

_PLACES = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
     "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX"}
)  # fmt: skip
"""Variables that would lead Git elsewhere than to the folder it is run in: a hook that runs this has them set."""


def git(root: Path, *arguments: str, index: Path | None = None, text: str | None = None) -> str:
    """Output of a Git command in `root` that reads `text`. Raises UserError with Git's own last line when it fails.

    `index` is a file to use in the place of the checkout's own index.
    """
    own = {"GIT_INDEX_FILE": str(index)} if index else {}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, env=_environment() | own, input=text, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise UserError("there is no git command here; install Git") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise UserError(f"git {arguments[0]} failed in {root}: {lines[-1]}")
    return done.stdout.strip()


def ask_git(root: Path, *arguments: str) -> str | None:
    """Output of a Git command in `root`; None when it fails, or when there is no Git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, env=_environment(), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _PLACES}
