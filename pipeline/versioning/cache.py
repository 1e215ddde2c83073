"""Hold content in DVC's cache against its name, which is its md5: DVC itself trusts what has been there once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.versioning.dvc_lock import FOLDER_SUFFIX, read_listing
from pipeline.versioning.hashes import digest_file

_THREADS = 4


def damaged(cache: Path, outputs: Mapping[str, str]) -> dict[str, Path]:
    """Outputs {md5: path} -> {path of a file: its place in the cache} of those whose content there is another.

    Content that is not in the cache is left out, and so are the files of a folder whose list is not there.
    """
    named: dict[str, str] = {}
    wrong: dict[str, Path] = {}
    for md5, path in outputs.items():
        place = _place(md5)
        if not md5.endswith(FOLDER_SUFFIX):
            named[path] = place
        elif (listing := read_listing(cache, md5)) is not None:
            named |= {f"{path}/{name}": _place(file_md5) for name, file_md5 in listing.items()}
        elif (cache / place).is_file():
            wrong[path] = cache / place
    places = sorted({place for place in named.values() if (cache / place).is_file()})
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = dict(zip(places, pool.map(lambda place: digest_file(cache / place), places), strict=True))
    found = {path: digests[place] for path, place in named.items() if place in digests}
    return wrong | {p: cache / named[p] for p, digest in found.items() if digest is None or _place(digest.md5) != named[p]}


def _place(md5: str) -> str:
    return f"{md5[:2]}/{md5[2:]}"


def told(wrong: Mapping[str, Path]) -> str:
    """ "data/D_1/00002.png and 3 more" """
    first = min(wrong)
    return f"{first} and {len(wrong) - 1} more" if len(wrong) > 1 else first
