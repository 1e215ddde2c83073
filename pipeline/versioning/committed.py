"""What Git holds of a project: committed models, raw images and modules."""

from __future__ import annotations

import hashlib
import io
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.versioning.git import ask_git


def changed_files(root: Path, folder: str) -> dict[str, bool]:
    """Return {path: whether it is there} of the files of a folder that are not what HEAD holds; none where Git knows none.

    Git's own status trusts time stamps; this reads the bytes.
    """
    held = _object_ids(root, "HEAD", [folder])
    return {path: (root / path).is_file() for path, object_id in held.items() if _object_id(root / path) != object_id}


def committed_paths(root: Path) -> frozenset[str]:
    """Return every file of HEAD, relative to `root`; none without Git."""
    return frozenset((ask_git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD") or "").split("\0")) - {""}


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
