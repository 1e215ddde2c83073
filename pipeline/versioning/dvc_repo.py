"""Open the DVC project in this process, with its failures as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import UserError
from pipeline.core.process import lock_holder
from pipeline.versioning.dvc_patches import patch_dvc

if TYPE_CHECKING:
    from dvc.repo import Repo

_BLOCKING = re.compile(r"\(PID (\d+)\): (.*)")
"""How DVC names a process that works on a file."""


@contextmanager
def open_repo(root: Path) -> Iterator[Repo]:
    """Yield the DVC project at `root`. Raise UserError where it is missing or broken.

    DVC's lock is waited for; a UserError names who works on a file that DVC would write.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.lock import LockError
    from dvc.repo import Repo

    patch_dvc()
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
            blocking = _BLOCKING.search(str(error))
            holder = lock_holder(root) or (f"PID {blocking[1]} ({blocking[2]})" if blocking else "another DVC process")
            raise UserError(f"{holder} is at work in this clone; wait until it has ended, or end it, and run again") from error
