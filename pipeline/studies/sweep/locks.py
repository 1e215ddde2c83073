"""A lock on a file system that machines share, which survives its holder's death.

A lock is a file KEY.N, made by whoever is the first to make it; its holder touches it every few seconds. The next holder
makes KEY.N+1, once the holder of KEY.N has said that it is done, or is dead. Nobody ever takes a file's name from another,
so two who both think that a holder is dead cannot both follow it. `flock` would not do: it is not reliable between nodes.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes

HEARTBEAT_SECONDS = 5.0
SILENT_SECONDS = 30.0
"""A holder whose file was touched in this time is alive, whatever else is known: its node may have lost the cluster."""
LOST_SECONDS = 180.0
"""One that nobody can be asked about is dead after this time."""
_POLL_SECONDS = 1.0
_RELEASED = "released"


@dataclass(frozen=True)
class LockOwner:
    """Who holds a lock: a chain, in a job of Slurm (or ""), in a process of a host."""

    chain: str
    job: str = ""
    host: str = ""
    pid: int = 0

    @classmethod
    def here(cls, chain: str, job: str = "") -> LockOwner:
        return cls(chain, job, socket.gethostname(), os.getpid())

    def describe(self) -> str:
        return f"{self.chain} ({f'job {self.job}' if self.job else f'process {self.pid}'} on {self.host})"


IsAlive = Callable[[LockOwner], bool | None]
"""Whether a holder still runs, from someone who should know; None: nobody knows."""


def is_dead(silent: float, alive: bool | None) -> bool:
    """Return whether a holder that has not touched its file for `silent` seconds holds it no more."""
    if silent < SILENT_SECONDS or alive:
        return False
    return alive is False or silent >= LOST_SECONDS


@dataclass(frozen=True)
class Locks:
    """The locks of a folder, as `owner` takes them. `say` hears whom it waits for; `stopping` ends the waiting."""

    folder: Path
    owner: LockOwner
    alive: IsAlive
    say: Callable[[str], None]
    stopping: Callable[[], bool] = lambda: False

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Hold the lock `key` for the block. Raises UserError when `stopping` says so while it waits."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mine = self._acquire(sha256_bytes(key.encode())[:24])
        ended = threading.Event()
        heart = threading.Thread(target=_heartbeat, args=(mine, ended), daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            _release(mine)

    def _acquire(self, name: str) -> Path:
        announced = False
        while not self.stopping():
            number = _latest(self.folder, name)
            holder = _holder(self.folder / f"{name}.{number}", self.alive) if number else None
            if holder is None:
                mine = self.folder / f"{name}.{number + 1}"
                if _is_mine(mine, self.owner):
                    return mine
                continue
            if not announced:
                self.say(f"waiting for {holder.describe()}")
                announced = True
            time.sleep(_POLL_SECONDS)
        raise UserError("stopped")


def _latest(folder: Path, name: str) -> int:
    """Return the highest number of a lock; 0 where nobody ever held it."""
    return max((int(path.suffix[1:]) for path in _files(folder, name)), default=0)


def _files(folder: Path, name: str) -> list[Path]:
    return [path for path in folder.glob(f"{name}.*") if path.suffix[1:].isdecimal()]


def _holder(path: Path, alive: IsAlive) -> LockOwner | None:
    """Return who holds the lock by this file; None when nobody does any more."""
    try:
        with path.open() as file:  # opening makes a network file system ask for the file's true time
            text = file.read()
            touched = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    if text == _RELEASED:
        return None
    try:
        owner = LockOwner(**json.loads(text))
    except (ValueError, TypeError):
        owner = LockOwner("another chain")  # made, and not yet written
    silent = _server_time(path.parent) - touched
    known = alive(owner) if silent >= SILENT_SECONDS else None
    return None if is_dead(silent, known) else owner


def _server_time(folder: Path) -> float:
    """Return the time by the clock that sets the times of files here."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-") as file:
        return os.fstat(file.fileno()).st_mtime


def _is_mine(path: Path, owner: LockOwner) -> bool:
    """Make the file, unless somebody has, or went on past it; return whether it was made.

    The latest is all that anyone looks at: older ones are removed.
    """
    try:
        with path.open("x") as file:
            json.dump(asdict(owner), file)
    except FileExistsError:
        return False
    others = {int(other.suffix[1:]): other for other in _files(path.parent, path.stem) if other != path}
    number = int(path.suffix[1:])
    if any(other > number for other in others):
        path.unlink()
        return False
    for old in others.values():
        old.unlink(missing_ok=True)
    return True


def _heartbeat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):
            os.utime(path)


def _release(path: Path) -> None:
    """Say that the next may follow; nothing to say where one already has."""
    if path.exists():
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(_RELEASED)
        partial.replace(path)
