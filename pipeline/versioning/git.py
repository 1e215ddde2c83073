"""Run Git: its output, or its error as a sentence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pipeline.core.errors import UserError

_SUBMODULE_LINK = Path("vendor/sd-scripts/.git")

_LOCATIONS = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
     "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX"}
)  # fmt: skip
"""Variables that would lead Git elsewhere than to the folder it is run in: a hook that runs this has them set."""


def git(root: Path, *arguments: str, index: Path | None = None, text: str | None = None) -> str:
    """Return the output of a Git command in `root` that reads `text`. Raise UserError with Git's own last line when it fails.

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
    """Return the output of a Git command in `root`; None when it fails, or when there is no Git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, env=_environment(), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def head_of_checkout(folder: Path) -> str | None:
    """Return HEAD's commit of a checkout of its own; None for a plain folder, though another checkout may be around it."""
    return ask_git(folder, "rev-parse", "HEAD") if (folder / ".git").exists() else None


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _LOCATIONS}


def remove_dangling_link(root: Path) -> None:
    """Remove sd-scripts' .git where it is a file that names a repository that is not there: Git refuses all work beside it.

    DVC's Git library writes such a file when an experiment begins in a clone without sd-scripts.
    """
    link = root / _SUBMODULE_LINK
    if not link.is_file():
        return
    named = link.read_text(encoding="utf-8", errors="replace").removeprefix("gitdir:").strip()
    if not (link.parent / named).exists():
        link.unlink(missing_ok=True)
