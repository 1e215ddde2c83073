"""Hash files as DVC does (md5; of a folder, of the list of its files) and as our records do (sha256), in one reading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.core.progress import Progress

_BLOCK = 2**20
_THREADS = 4
IGNORED = ("__pycache__", ".DS_Store", ".*.partial", ".*.old", ".*.tmp")
"""Names of files and folders that .dvcignore lists: DVC leaves them out of the hash of a folder."""


@dataclass(frozen=True)
class Digest:
    """A file's hashes, in hexadecimal, and its size in bytes."""

    md5: str
    sha256: str
    size: int


def digest_file(path: Path) -> Digest | None:
    """None for a file that is missing or cannot be read."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                md5.update(block)
                sha256.update(block)
                size += len(block)
    except OSError:
        return None
    return Digest(md5.hexdigest(), sha256.hexdigest(), size)


def digest_bytes(content: bytes) -> Digest:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Digest(md5, hashlib.sha256(content).hexdigest(), len(content))


def digest_files(root: Path, paths: Sequence[str]) -> dict[str, Digest]:
    """{path: hashes} of the files below `root` that can be read. DVC's own status trusts time stamps; this reads the bytes."""
    found: dict[str, Digest] = {}
    with Progress("verify", len(paths)) as progress, ThreadPoolExecutor(_THREADS) as pool:
        for path, digest in zip(paths, pool.map(lambda path: digest_file(root / path), paths), strict=True):
            if digest is not None:
                found[path] = digest
            progress.advance()
    return found


def files_below(root: Path, folder: str) -> list[str]:
    """Return paths relative to `root` of the files in a folder, or of the one file, sorted; without what .dvcignore lists."""
    start = root / folder
    files = [start] if start.is_file() else [path for path in start.rglob("*") if path.is_file()]
    inside = (path.relative_to(root) for path in files)
    return sorted(path.as_posix() for path in inside if not any(_is_ignored(name) for name in path.parts))


def _is_ignored(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in IGNORED)


FOLDER_SUFFIX = ".dir"
"""Ends the hash of a folder, which is that of the list of its files."""


def folder_md5(files: Mapping[str, str]) -> str:
    """Return {path below the folder: md5} -> the folder's hash, as DVC computes it."""
    entries = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + FOLDER_SUFFIX
