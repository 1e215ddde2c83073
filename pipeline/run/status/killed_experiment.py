"""What a `dvc exp run` that was killed leaves behind: a detached HEAD, and the experiment's values in tracked files.

It can go when DVC restores the work tree itself before its next command.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from pipeline.versioning.dvc_lock import LOCK_FILE
from pipeline.versioning.git import ask_git

_RUN_FILE = Path(".dvc/tmp/exps/run/workspace/workspace.json")
"""DVC's note of the process that runs an experiment in the work tree; it goes when the run ends, well or badly."""

_STARTED_WITH = "refs/exps/exec/EXEC_MERGE"
"""DVC's commit of the work tree as the experiment starts."""

_FILES = ("params.yaml", LOCK_FILE, "report/summary.json")


class Leftovers(NamedTuple):
    """What a killed run has left, and the commands that put it right."""

    found: str
    remedy: str


def leftovers(root: Path) -> Leftovers | None:
    """Return what a killed run left; None when no run was killed here, one is at work, or all is right again."""
    if not (root / _RUN_FILE).is_file() or _is_running(root / _RUN_FILE):
        return None
    branch = _detached_from(root)
    if branch is None and not _has_values(root):
        return None
    changed = (ask_git(root, "diff", "--name-only", "--relative", "--diff-filter=MD", "HEAD", "--", *_FILES) or "").split()
    found = ["HEAD is detached"] if branch else []
    remedy = [f"'git switch {branch}'"] if branch else []
    if changed:
        left = "are as the experiment left them" if len(changed) > 1 else "is as the experiment left it"
        found.append(f"{' and '.join(changed)} {left}")
        remedy.append(f"'git restore --staged --worktree {' '.join(changed)}' (which drops your own edits there, too)")
    if LOCK_FILE in changed:
        remedy.append("'dvc checkout'")
    return Leftovers(f"a 'dvc exp run' was killed: {', '.join(found)}", f"run {', '.join(remedy)}") if found else None


def _is_running(note: Path) -> bool:
    try:
        os.kill(int(json.loads(note.read_text(encoding="utf-8"))["pid"]), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return False
    return True


def _detached_from(root: Path) -> str | None:
    """Return the branch that HEAD was on before DVC detached it; None where HEAD is on a branch, or none is at its commit."""
    if ask_git(root, "symbolic-ref", "--quiet", "HEAD") is not None:
        return None
    here = (ask_git(root, "for-each-ref", "--points-at", "HEAD", "--format=%(refname)", "refs/heads") or "").split()
    before = ask_git(root, "rev-parse", "--symbolic-full-name", "@{-1}")
    branch = before if before in here else next(iter(here), None)
    return branch.removeprefix("refs/heads/") if branch else None


def _has_values(root: Path) -> bool:
    """Return whether params.yaml still is as the experiment started, and not as HEAD has it."""
    name = _FILES[0]
    wanted, committed = (
        ask_git(root, "rev-parse", "--verify", "--quiet", f"{commit}:./{name}") for commit in (_STARTED_WITH, "HEAD")
    )
    return wanted is not None and wanted != committed and ask_git(root, "hash-object", name) == wanted
