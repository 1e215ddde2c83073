"""Errors that a user can cause: one clear sentence, exit code 2."""

from __future__ import annotations


class UserError(Exception):
    """What is wrong, where, and what to do about it, in one sentence; `cli` prints it and exits with 2."""
