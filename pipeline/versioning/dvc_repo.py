"""Open the DVC project in this process, with its failures as sentences, and with the one part of DVC that is replaced here.

The reflink: DVC creates the file at its place, asks the file system to share the content, and removes it where that cannot
be done; a kill in between leaves an empty file where a complete one should be. Ours works under a temporary name first, as
DVC's copies do. It can go when dvc_objects does that itself (tests/versioning/test_dvc_internals.py notices).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import UserError
from pipeline.core.process import lock_holder

if TYPE_CHECKING:
    from dvc.repo import Repo


@contextmanager
def open_repo(root: Path) -> Iterator[Repo]:
    """Yield the DVC project at `root`. Raise UserError where it is missing or broken, or while another process has its lock."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.lock import LockError
    from dvc.repo import Repo

    patch_reflink()
    try:
        repo = Repo(str(root))
    except NotDvcRepoError as error:
        raise UserError(f"{root.resolve()} is no DVC project; run this in the project's folder") from error
    except DvcException as error:
        raise UserError(
            f"DVC cannot open the project at {root.resolve()} ({' '.join(str(error).split())}); fix that first"
        ) from error
    with repo:
        try:
            yield repo
        except LockError as error:
            holder = lock_holder(root) or "another DVC process"
            raise UserError(f"{holder} is at work in this clone; wait until it has ended, or end it, and run again") from error


def patch_reflink() -> None:
    """From now on make DVC's reflinks in this process under a temporary name first."""
    from dvc_objects.fs import system
    from dvc_objects.fs.utils import tmp_fname

    in_place = system.reflink
    if in_place.__module__ == __name__:
        return

    def reflink(source: str, place: str) -> None:
        unfinished = str(Path(place).with_name(tmp_fname()))
        in_place(source, unfinished)
        os.replace(unfinished, place)

    system.reflink = reflink
