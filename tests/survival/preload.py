"""Build faults.c, and say through shared memory which file operation of which processes it strikes."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import shutil
import subprocess
import tempfile
from enum import IntEnum, IntFlag
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("faults.c")
COMPILER = shutil.which("cc") or shutil.which("gcc")

needs_compiler = pytest.mark.skipif(
    COMPILER is None or os.uname().sysname != "Linux", reason="faults are injected by a preloaded C library on Linux"
)


class Action(IntEnum):
    """What happens at the chosen operation."""

    COUNT, FAIL_ONCE, FAIL_ON, KILL, KILL_GROUP = range(5)


class Kind(IntFlag):
    """Which operations count: opening to write, writing, renaming, linking, syncing; opening to read, reading; removing."""

    WRITES, READS, REMOVALS = 1, 2, 4


class Where(IntEnum):
    """Which processes: all, those below a stage of DVC's, or the others (DVC itself)."""

    ANY, STAGES, OTHERS = range(3)


class _State(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_long),
        ("at", ctypes.c_long),
        ("action", ctypes.c_int),
        ("error", ctypes.c_int),
        ("kinds", ctypes.c_int),
        ("where", ctypes.c_int),
        ("fired", ctypes.c_int),
        ("hit", ctypes.c_char * 2048),
    )


@functools.cache
def library() -> Path:
    """The compiled library, built once a session."""
    path = Path(tempfile.mkdtemp(prefix="faults-")) / "faults.so"
    assert COMPILER is not None
    subprocess.run([COMPILER, "-O1", "-shared", "-fPIC", "-o", str(path), str(_SOURCE), "-ldl"], check=True)
    return path


class Faults:
    """Strikes for the processes that run with `environment()`, below `root`."""

    def __init__(self, root: Path, state: Path, skip: tuple[str, ...] = ("/pipeline/", "/__pycache__/")) -> None:
        self._root, self._path, self._skip = root.resolve(), state, skip
        state.write_bytes(b"\0" * ctypes.sizeof(_State))
        with state.open("r+b") as file:
            self._state = _State.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(_State)))

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAULT_ROOT": str(self._root),
            "FAULT_STATE": str(self._path),
            "FAULT_SKIP": ":".join(self._skip),
        }

    def arm(self, action: Action, kinds: Kind, at: int = 0, error: int = 0, where: Where = Where.ANY) -> None:
        """Strike at the `at`-th operation of these kinds from now on."""
        self._state.action = Action.COUNT
        self._state.count, self._state.fired, self._state.hit = 0, 0, b""
        self._state.at, self._state.error, self._state.kinds, self._state.where = at, error, kinds, where
        self._state.action = action

    @property
    def count(self) -> int:
        """Operations since it was armed."""
        return int(self._state.count)

    @property
    def fired(self) -> bool:
        return bool(self._state.fired)

    @property
    def hit(self) -> str:
        """The operation that was struck, its path below the root."""
        return os.fsdecode(self._state.hit).replace(f"{self._root}/", "")
