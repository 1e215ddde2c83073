"""Give the trainers T_k's images as files, where their sets are kept in shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.chain.sets import Images
from pipeline.core.files import atomic_folder, remove_folder


@contextmanager
def image_files(paths: Iterable[str], root: Path, scratch: Path) -> Iterator[str]:
    """Yield the folder, from `root`, below which every path is a file: "." where all are, else `scratch` with copies of all.

    The copies go at the end. Raises UserError when the disk is full.
    """
    images = Images(root)
    wanted = list(dict.fromkeys(paths))
    if all(images.is_file(path) for path in wanted):
        yield "."
        return
    with atomic_folder(scratch) as folder:
        for path in wanted:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(images.read(path))
    try:
        yield scratch.relative_to(root).as_posix()
    finally:
        remove_folder(scratch)
