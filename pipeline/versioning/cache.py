"""DVC's cache: where a checksum's content lies, which files a folder has, and what there is damaged.

DVC itself trusts what has been in the cache once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.versioning.hashes import FOLDER_SUFFIX, digest_file

_THREADS = 4


def cache_folder(root: Path) -> Path | None:
    """Return where DVC keeps content by checksum for the project at `root`; None where there is no DVC project."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root), uninitialized=False) as repo:
            return Path(repo.cache.local.path)
    except DvcException:
        return None


def cache_path(cache: Path, md5: str) -> Path:
    """Return where the content with this checksum lies, if the cache has it."""
    return cache / md5[:2] / md5[2:]


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
