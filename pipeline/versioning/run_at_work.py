"""One run at a time in a clone: who runs stages in it, and what must not begin meanwhile.

Two locks tell. Our own is held by `redifine repro` and `redifine exp run` from before they change anything to their end. DVC's
list of running processes (rwlock) has the process whose stage runs, also where DVC was started by itself.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.process import describe, file_lock_holder
from pipeline.versioning.dvc_repo import open_repo

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_TMP = Path(".dvc/tmp")
_LOCK = _TMP / "redifine-run"
_RWLOCK = _TMP / "rwlock"
_MOMENTS = 5
_MOMENT_SECONDS = 0.2
"""A checkout, too, writes outputs, for a moment; a stage's process stays."""


@contextmanager
def only_run(root: Path) -> Iterator[None]:
    """Be the only run in the clone at `root`. Raise UserError, before anything is changed, while another one is at work."""
    if not (root / ".dvc").is_dir() or fcntl is None:
        yield
        return
    (root / _TMP).mkdir(exist_ok=True)
    with (root / _LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            check_no_run(root)
            raise _at_work("another run") from None
        except OSError:
            pass  # a file system without such locks: DVC's list tells
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        # DVC's list is empty between two stages of a run; then it has its lock.
        with open_repo(root) as repo, repo.lock:
            if (found := _dvc_run(root)) is not None:
                raise _at_work(found)
        yield


def check_no_run(root: Path) -> None:
    """Raise UserError while a run is at work in the clone at `root`: what would change files under it must wait."""
    if (found := run_at_work(root)) is not None:
        raise _at_work(found)


def run_at_work(root: Path) -> str | None:
    """Describe the process, not this one, that runs stages in the clone at `root`, as "PID 123 (redifine repro)"."""
    return file_lock_holder(root / _LOCK) or _dvc_run(root)


def _dvc_run(root: Path) -> str | None:
    found = None
    for moment in range(_MOMENTS):
        if moment:
            time.sleep(_MOMENT_SECONDS)
        if (found := _writer(root)) is None:
            break
    return found


def _writer(root: Path) -> str | None:
    return next(iter(written_outputs(root).values()), None)


def written_outputs(root: Path) -> dict[str, str]:
    """Return {absolute path: living process} of the outputs that DVC writes in the clone at `root` by now."""
    with suppress(OSError, ValueError, AttributeError, KeyError, TypeError):
        written = json.loads((root / _RWLOCK).read_text(encoding="utf-8")).get("write", {})
        named = {path: describe(int(entry["pid"])) for path, entry in written.items()}
        return {path: name for path, name in named.items() if name is not None}
    return {}


def _at_work(holder: str) -> UserError:
    return UserError(f"{holder} is at work in this clone; wait until it has ended, or end it, and run again")
