"""Hash files as DVC does (md5; of a folder, of the list of its files) and as our records do (sha256), in one reading; and
DVC's cache: where a checksum's content lies, which files a folder has, and what there is damaged.

DVC itself trusts what has been in the cache once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.core.files import cache_path
from pipeline.core.progress import Progress

_BLOCK = 2**20
_THREADS = 4
FOLDER_SUFFIX = ".dir"
"""Ends the hash of a folder, which is that of the list of its files."""

IGNORED = ("__pycache__", ".DS_Store", ".*.partial", ".*.old", ".*.tmp")
"""Names of files and folders that .dvcignore lists: DVC leaves them out of the hash of a folder."""


@dataclass(frozen=True)
class Digest:
    """A file's hashes, in hexadecimal, and its size in bytes."""

    md5: str
    sha256: str
    size: int


def digest_file(path: Path) -> Digest | None:
    """Return the file's hashes; None for one that is missing or cannot be read."""
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
    """Return {path: hashes} of the readable files below `root`. DVC's own status trusts time stamps; this reads the bytes."""
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
    return sorted(path.as_posix() for path in inside if not any(map(is_ignored, path.parts)))


def is_ignored(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in IGNORED)


def folder_md5(files: Mapping[str, str]) -> str:
    """Return {path below the folder: md5} -> the folder's hash, as DVC computes it."""
    return hashlib.md5(list_of_files(files), usedforsecurity=False).hexdigest() + FOLDER_SUFFIX


def list_of_files(files: Mapping[str, str]) -> bytes:
    """Return {path below the folder: md5} as the list that DVC keeps of the folder."""
    return json.dumps([{"md5": files[path], "relpath": path} for path in sorted(files)], sort_keys=True).encode()


def cache_folder(root: Path) -> Path | None:
    """Return where DVC keeps content by checksum for the project at `root`; None where there is no DVC project."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root), uninitialized=False) as repo:
            return Path(repo.cache.local.path)
    except DvcException:
        return None


def read_listing(cache: Path | None, md5: str) -> dict[str, str] | None:
    """Return {path below the folder: md5} of a folder's checksum; None where the cache lacks the list, or it is damaged."""
    if cache is None:
        return None
    try:
        content = cache_path(cache, md5).read_bytes()
    except OSError:
        return None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() + FOLDER_SUFFIX != md5:
        return None
    return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}


def damaged_files(cache: Path, outputs: Mapping[str, str]) -> dict[str, Path]:
    """Return {path of a file: its place in the cache} of the outputs {md5: path} whose cached content has another checksum.

    Content that is not in the cache is left out, and so are the files of a folder whose list is not there.
    """
    files: dict[str, str] = {}
    wrong: dict[str, Path] = {}
    for md5, path in outputs.items():
        if not md5.endswith(FOLDER_SUFFIX):
            files[path] = md5
        elif (listing := read_listing(cache, md5)) is not None:
            files |= {f"{path}/{name}": file_md5 for name, file_md5 in listing.items()}
        elif cache_path(cache, md5).is_file():
            wrong[path] = cache_path(cache, md5)
    cached = sorted({md5 for md5 in files.values() if cache_path(cache, md5).is_file()})
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = dict(zip(cached, pool.map(lambda md5: digest_file(cache_path(cache, md5)), cached), strict=True))
    damaged = {md5 for md5, digest in digests.items() if digest is None or digest.md5 != md5}
    return wrong | {path: cache_path(cache, md5) for path, md5 in files.items() if md5 in damaged}


def first_of(wrong: Mapping[str, Path]) -> str:
    """ "data/D_1/00002.png and 3 more" """
    first = min(wrong)
    return f"{first} and {len(wrong) - 1} more" if len(wrong) > 1 else first
