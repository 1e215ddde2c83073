"""DVC's command line, run in this process: with the exit status of a failed stage, and a Ctrl-C that is never lost.

Both can go when `dvc repro` itself ends with the status of the stage that failed, and stops at every Ctrl-C.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from pipeline.core.errors import INTERRUPTED, UserError, disk_sentence
from pipeline.versioning.dvc_patches import patch_dvc
from pipeline.versioning.dvc_stage_runs import patch_stage_runs
from pipeline.versioning.git import remove_dangling_link
from pipeline.versioning.hashes import cache_folder
from pipeline.versioning.queue_entry import patch_queue

_STAGE_STATUS = re.compile(r"exited with (-?\d+)$")
_STAGE_NAME = re.compile(r"failed to reproduce '([^']+)'")
_PASSED_ON = (2, INTERRUPTED)
"""A stage's exit statuses that mean something: one sentence said what to do; Ctrl-C, and it said so."""
_ENDED_BY_SIGINT = -signal.SIGINT
"""The status of what Ctrl-C ended before it could say so."""
_DVC_INTERRUPTED = 252
_LOOK_SECONDS = 0.2


def run_dvc(arguments: Sequence[str]) -> int:
    """Run `dvc ARGUMENTS`; return its exit status: that of the failed stage where it is 2 or 130, of which DVC makes 255.

    Raise KeyboardInterrupt after a Ctrl-C that no stage has reported.
    """
    from dvc.cli import main

    patch_dvc()
    patch_stage_runs()
    patch_queue()
    failures = _Failures()
    handlers = logging.getLogger("dvc").handlers
    for handler in handlers:
        handler.addFilter(failures)
    try:
        with _no_interrupt_lost():
            code = main(list(arguments))
    finally:
        for handler in handlers:
            handler.removeFilter(failures)
        remove_dangling_link(Path())  # which DVC's Git library may have made meanwhile
    if code == _DVC_INTERRUPTED or (code and failures.status == _ENDED_BY_SIGINT):
        raise KeyboardInterrupt
    if code and failures.status == 0 and failures.disk is not None:
        raise UserError(_refused_by_disk(failures.disk)) from failures.disk
    if not code or failures.status not in _PASSED_ON:
        return code
    if failures.status == 2:
        click.echo(f"{failures.stage} ended there; what it had made before is in DVC's cache ('dvc checkout')", err=True)
    return failures.status


def _refused_by_disk(error: OSError) -> str:
    """Say where the disk, or its permissions, refused DVC: it copies without naming the file."""
    if error.filename is not None:
        return f"DVC {disk_sentence(error)}"
    root = Path().resolve()
    cache = cache_folder(root)
    where = f"DVC's cache {cache}, or the project {root}" if cache is not None else f"the project {root}"
    reason = error.strerror or error
    return f"DVC cannot write to {where}: {reason}; what it had before is in its cache, fix the cause and run again"


class _Failures(logging.Filter):
    """Remembers which stage failed and how it ended, and drops what DVC says of it where the stage has said all there is."""

    stage, status = "the stage", 0
    disk: OSError | None = None
    """What the disk or its permissions refused DVC itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return True
        while error is not None:
            if isinstance(error, OSError) and error.errno != errno.ENOENT and disk_sentence(error):
                self.disk = error
            if isinstance(error, KeyboardInterrupt):
                self.status = _ENDED_BY_SIGINT
            elif found := _STAGE_STATUS.search(str(error)):
                self.status = int(found[1])
            if found := _STAGE_NAME.search(str(error)):
                self.stage = found[1]
            error = error.__cause__ or error.__context__
        return self.disk is None and self.status not in (*_PASSED_ON, _ENDED_BY_SIGINT)


@contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """Within it a Ctrl-C that DVC did not act on ends the stage that DVC starts next.

    What DVC reads its parameters with takes any exception for a value that does not match. While a stage runs DVC ignores
    SIGINT, so a stage that runs after one was heard here was begun in spite of it.
    """
    heard = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard = True
        if not _in_destructor(frame):  # where Python would print a traceback and go on
            raise KeyboardInterrupt

    def watch() -> None:
        while not (heard and signal.getsignal(signal.SIGINT) is signal.SIG_IGN):
            time.sleep(_LOOK_SECONDS)
        _interrupt_children()

    before = signal.signal(signal.SIGINT, hear)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _in_destructor(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def _interrupt_children() -> None:
    """Send SIGINT to the children that a Ctrl-C in the terminal would reach."""
    import psutil

    for child in psutil.Process().children():
        with suppress(ProcessLookupError):
            if os.getpgid(child.pid) == os.getpgrp():
                os.kill(child.pid, signal.SIGINT)
