"""Wait for DVC's lock, in this process, for as long as another process has it, and say for whom.

DVC tries for five seconds and gives up, and with it gives up a stage that has just ended. It can go when DVC's own waiting,
`--wait-for-lock`, reaches what it does between stages and says for whom.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.core.process import file_lock_holder

if TYPE_CHECKING:
    from dvc.lock import Lock

_SILENT_SECONDS = 1.0
"""Most hold the lock for a moment, of which nobody needs to hear."""
_LOOK_SECONDS = 0.1
_UNKNOWN_SECONDS = 10.0
"""So long a lock is waited for whose holder does not show, as on another machine."""


def patch_lock() -> None:
    """From now on have DVC wait so in this process."""
    import dvc.lock

    if dvc.lock.Lock.lock.__module__ != __name__:
        dvc.lock.Lock.lock = _wait_for


def _wait_for(lock: Lock) -> None:
    """Take a lock of DVC's. Raise its LockError where no living process has it, and it cannot be had all the same."""
    from dvc.lock import LockError

    start, alone_since, said = time.monotonic(), time.monotonic(), None
    while True:
        try:
            lock._do_lock()
            return
        except LockError:
            now, holder = time.monotonic(), file_lock_holder(Path(lock._lockfile))
            if holder is not None:
                alone_since = now
            elif now - alone_since > _UNKNOWN_SECONDS:
                raise
            if holder is not None and now - start > _SILENT_SECONDS and said != holder:
                click.echo(f"waiting for {holder}, which has DVC's lock of this clone", err=True)
                said = holder
        time.sleep(_LOOK_SECONDS)
