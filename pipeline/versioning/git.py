"""Run Git: its output, or its error as a sentence; and what it holds of a project: committed models, raw images, modules."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import UserError

_SUBMODULE_LINK = Path("vendor/sd-scripts/.git")

_OTHER_OWNER = re.compile("dubious ownership|unsafe repository")

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
        _check_owner(done.stderr)
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise UserError(f"git {arguments[0]} failed in {root}: {lines[-1]}")
    return done.stdout.strip()


def ask_git(root: Path, *arguments: str) -> str | None:
    """Return the output of a Git command in `root`; None when it fails, or when there is no Git.

    Raise UserError where Git refuses to work at all: what it would have said is not known then.
    """
    try:
        done = subprocess.run(["git", *arguments], cwd=root, env=_environment(), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    if done.returncode:
        _check_owner(done.stderr)
    return done.stdout.strip() if done.returncode == 0 else None


def _check_owner(said: str) -> None:
    """Raise UserError where Git does not work in a checkout of another owner, as root in a container: with its own remedy."""
    if not _OTHER_OWNER.search(said):
        return
    lines = [line.strip() for line in said.splitlines()]
    refusal = next(line.removeprefix("fatal: ") for line in lines if _OTHER_OWNER.search(line))
    remedy = next((line for line in lines if line.startswith("git config")), "git config --global --add safe.directory '*'")
    raise UserError(f"Git refuses: {refusal}; work as its owner, or trust it with: {remedy}")


def head_of_checkout(folder: Path) -> str | None:
    """Return HEAD's commit of a checkout of its own; None for a plain folder, though another checkout may be around it."""
    return ask_git(folder, "rev-parse", "HEAD") if (folder / ".git").exists() else None


def _environment() -> dict[str, str]:
    """Git's, with its messages in English."""
    return {key: value for key, value in os.environ.items() if key not in _LOCATIONS} | {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}


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


def changed_files(root: Path, folder: str) -> dict[str, bool]:
    """Return {path: whether it is there} of the files of a folder that are not what HEAD holds; none where Git knows none.

    Git's own status trusts time stamps; this reads the bytes.
    """
    held = _object_ids(root, "HEAD", [folder])
    return {path: (root / path).is_file() for path, object_id in held.items() if _object_id(root / path) != object_id}


def committed_paths(root: Path, commit: str = "HEAD") -> frozenset[str]:
    """Return every file of a commit, relative to `root`; none without Git."""
    return frozenset((ask_git(root, "ls-tree", "-r", "-z", "--name-only", commit) or "").split("\0")) - {""}


def committed_files(root: Path, commit: str, paths: Sequence[str]) -> dict[str, bytes]:
    """Return {path: content} of the files that a commit holds at or below `paths`, all relative to `root`."""
    if not (held := _object_ids(root, commit, paths) if paths else {}):
        return {}
    asked = "".join(f"{object_id}\n" for object_id in held.values()).encode()
    # Git answers each name with "NAME blob SIZE", the content and a line break.
    done = subprocess.run(["git", "cat-file", "--batch"], cwd=root, input=asked, capture_output=True, check=False)
    answers = io.BytesIO(done.stdout)
    found = {}
    for path in held:
        _, *about = answers.readline().split()
        if about[:1] == [b"blob"]:
            found[path] = answers.read(int(about[1]))
            answers.read(1)
    return found


def blobs_at(root: Path, commits: Sequence[str], path: str) -> set[str]:
    """Return Git's names of what a file, relative to `root`, holds in these commits; nothing of one that lacks it."""
    asked = "".join(f"{commit}:./{path}\n" for commit in commits)
    answers = git(root, "cat-file", "--batch-check=%(objectname) %(objecttype)", text=asked).splitlines()
    return {line.split()[0] for line in answers if line.endswith(" blob")}


def content_id(root: Path, path: str) -> str | None:
    """Return Git's name of a file's content as it would be committed; None where there is no file."""
    return git(root, "hash-object", "--", path) if (root / path).is_file() else None


def _object_ids(root: Path, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """Return {path: Git's name of its content} of a commit's files at or below `paths`."""
    listed = ask_git(root, "ls-tree", "-r", "-z", commit, "--", *paths) or ""
    return {path: about.split()[2] for about, _, path in (entry.partition("\t") for entry in listed.split("\0") if entry)}


def _object_id(path: Path) -> str | None:
    """Return Git's name of a file's content."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
