"""Errors that a user can cause: one clear sentence, exit code 2."""

from __future__ import annotations

import errno
import os
import re

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell reports one."""


class UserError(Exception):
    """What is wrong, where, and what to do about it, in one sentence; `cli` prints it and exits with 2."""


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return `text` on one line: characters that would steer a terminal, and what is no UTF-8, become escapes such as \\x1b."""
    return _CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""Errors that only a write can meet."""

_DISK = CANNOT_WRITE | {errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EPERM, errno.ESTALE}


def disk_sentence(error: OSError) -> str | None:
    """Return one sentence for what the disk or its permissions refused, or what is gone; None for another kind of failure."""
    if error.errno == errno.ENOENT and isinstance(error.filename, str | bytes):
        name = os.fsdecode(error.filename)
        return f"{name} is not there, or no longer; where a run is at work here, ask again when its stage has ended"
    if error.errno not in _DISK:
        return None
    where = f" {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    reason = os.strerror(error.errno)
    return f"cannot read or write{where}: {reason}; no half-written output was left, fix the cause and run again"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether Python, torch on a CPU (by words alone) or torch on a GPU had no memory left."""
    if isinstance(error, MemoryError):
        return True
    words = ("can't allocate memory", "not enough memory", "out of memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
