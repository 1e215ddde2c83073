"""The content that DVC's cache keeps by checksum: which of it is other bytes than its name says, take it out, put it back.

DVC trusts an object that is read only. Where it links files (cache.type hardlink), a file of the work tree is its object:
who may write to read-only files, as root may, changes both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.files import cache_path, write_bytes
from pipeline.versioning.dvc_lock import StageEntry, all_outputs, read_lock, source_dependencies
from pipeline.versioning.hashes import FOLDER_SUFFIX, Digest, digest_file, read_listing

if TYPE_CHECKING:
    from dvc.repo import Repo

_THREADS = 4
_READ_ONLY = 0o444
"""As DVC keeps objects."""


def recorded_objects(stages: Mapping[str, StageEntry], cache: Path) -> dict[str, str]:
    """Return {md5: path} of the content of every output and input, folders' lists and the files in them among it; no code."""
    found: dict[str, str] = {}
    for item in [*(item for item, _ in all_outputs(stages)), *source_dependencies(stages)]:
        if item.md5:
            found.setdefault(item.md5, item.path)
        for name, md5 in (read_listing(cache, item.md5) or {}).items() if item.is_folder else ():
            found.setdefault(md5, f"{item.path}/{name}")
    return found


def damaged_objects(cache: Path, md5s: Iterable[str], read: Mapping[tuple[int, int], str]) -> set[str]:
    """Return those of the checksums whose content in the cache is of another; every byte is read.

    `read` is {(device, inode): md5} of files that were read already: what is linked to one is not read again.
    """

    def actual(md5: str) -> str | None:
        try:
            about = cache_path(cache, md5).stat()
        except OSError:
            return md5  # not in the cache: nothing is wrong there
        known = read.get((about.st_dev, about.st_ino))
        if known is None:
            digest = digest_file(cache_path(cache, md5))
            known = digest.md5 if digest is not None else ""
        return known

    wanted = sorted(set(md5s))
    with ThreadPoolExecutor(_THREADS) as pool:
        found = zip(wanted, pool.map(actual, wanted), strict=True)
        return {md5 for md5, content in found if content != md5 and f"{content}{FOLDER_SUFFIX}" != md5}


def touched_objects(repo: Repo, md5s: Iterable[str]) -> set[str]:
    """Do as `damaged_objects` does, by reading only what was written to since DVC noted it: for commands that must be quick."""
    from dvc_data.hashfile.hash import hash_file

    cache = repo.cache.local
    found = set()
    for md5 in md5s:
        place = cache.oid_to_path(md5)
        try:
            _, known = hash_file(place, cache.fs, "md5", cache.state)
        except OSError:
            continue
        if known.value not in (md5, md5.removesuffix(FOLDER_SUFFIX)):
            found.add(md5)
    return found


def describe_touched(root: Path) -> str | None:
    """Say in one sentence that DVC's copies of outputs were written to; None where none was."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with suppress(DvcException), Repo(str(root)) as repo:
        objects = recorded_objects(read_lock(root), Path(repo.cache.local.path))
        if found := sorted(objects[md5] for md5 in touched_objects(repo, objects)):
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            return (
                f"DVC's own copy of {found[0]}{more} was written to (through a link, as root can): what is called done may "
                "not be; 'redifine verify --all --repair' brings the recorded bytes back"
            )
    return None


def file_numbers(root: Path, digests: Mapping[str, Digest]) -> dict[tuple[int, int], str]:
    """Return {(device, inode): md5} of files below `root` whose hashes are known."""
    found = {}
    for path, digest in digests.items():
        with suppress(OSError):
            about = (root / path).stat()
            found[about.st_dev, about.st_ino] = digest.md5
    return found


def put_object(cache: Path, md5: str, content: bytes) -> None:
    """Write the content of a checksum into the cache, read only as DVC's own."""
    place = cache_path(cache, md5)
    write_bytes(place, content)
    os.chmod(place, _READ_ONLY)
