"""Errors that a user can cause: one clear sentence, exit code 2."""

from __future__ import annotations


class UserError(Exception):
    """What is wrong, where, and what to do about it, in one sentence; `cli` prints it and exits with 2."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch on a CPU (by words alone) or torch on a GPU had no memory left."""
    if isinstance(error, MemoryError):
        return True
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
