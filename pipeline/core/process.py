"""This process and others: it dies with the one that started it, so that killing a run leaves nothing behind that writes on;
it reads and writes UTF-8 in any locale; who holds a project's lock.
"""

from __future__ import annotations

import ctypes
import locale
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it ends, now too; other systems have no such request."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if _orphaned():
        os.kill(os.getpid(), signal.SIGKILL)


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command that runs `command` in a process that dies with its parent; this package must be on its path.

    Popen's preexec_fn would do it too, but Python forks for that, and a Ctrl-C that arrives in the fork is lost.
    """
    return [sys.executable, "-m", "pipeline.core.process", *command]


def use_utf8() -> None:
    """Start this program anew in Python's UTF-8 mode, unless it is, or the locale is one of UTF-8.

    DVC reads its configuration, and Git's output is read, in the locale's encoding: in another one a path such as "mý projekt"
    becomes another path, or a traceback. Processes that this one starts are in that mode, too.
    """
    encoding = locale.getpreferredencoding(False)  # of UTF-8 mode, too
    if encoding.lower().replace("-", "") == "utf8" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _orphaned() -> bool:
    """Tell whether the parent ended before the request: a process that adopts others is not in their group.

    The first process of a group cannot tell: a shell, or a server, has given it a group of its own.
    """
    if os.getpgrp() == os.getpid():
        return False
    try:
        return os.getpgid(os.getppid()) != os.getpgrp()
    except ProcessLookupError:
        return True


def lock_holder(root: Path) -> str | None:
    """Describe the process that has the lock of the DVC project at `root`, as "PID 123 (dvc repro)"; None where none does."""
    return file_lock_holder(root / ".dvc/tmp/lock")


def file_lock_holder(path: Path) -> str | None:
    """Describe the other process that has locked a file by `flock`, and has written its number into it; None where none has."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            if not _is_locked(file):
                return None
            return describe(int(file.read()))
    except (OSError, ValueError):
        return None


def _is_locked(file: TextIO) -> bool:
    """Return whether another process has locked an open file. Asking keeps nobody from it for longer than a moment."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def describe(pid: int) -> str | None:
    """Return a living process as "PID 123 (dvc repro)"; None for one that has ended, and for this one."""
    words = _command_line(pid)
    names = [Path(word).name if place < 2 else word for place, word in enumerate(words) if word]
    return f"PID {pid} ({' '.join(' '.join(names[:8]).split())})" if names and pid != os.getpid() else None


def _command_line(pid: int) -> list[str]:
    """Return the words that a process was started with; none where it has ended."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return []
    import psutil

    try:
        return list(psutil.Process(pid).cmdline())
    except psutil.Error:
        return []


if __name__ == "__main__":
    die_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])
