"""What Git holds of the chain's inputs: the models and raw images that are committed."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path


def git(root: Path, *arguments: str) -> str | None:
    """Output of a Git command; None when it fails, or when there is no Git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def changed_files(root: Path, folder: str) -> dict[str, bool]:
    """{path: whether it is there} of the files of a folder that are not what HEAD holds; none where Git knows none.

    Git's own status trusts time stamps; this reads the bytes.
    """
    listed = git(root, "ls-tree", "-r", "-z", "HEAD", "--", folder) or ""
    held = {path: about.split()[2] for about, _, path in (entry.partition("\t") for entry in listed.split("\0") if entry)}
    return {path: (root / path).is_file() for path, object_id in held.items() if _object_id(root / path) != object_id}


def _object_id(path: Path) -> str | None:
    """Git's name of a file's content."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
