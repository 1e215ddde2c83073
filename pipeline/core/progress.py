"""Progress that stays readable: a live bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

_LOG_EVERY_SECONDS = 15.0


class Progress:
    """Count `total` units of work called `name`; a context manager."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done = name, total, 0
        self._detail = ""
        self._started = self._last = time.monotonic()
        self._said_all = False
        self._bar: RichProgress | None = None
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                       TimeRemainingColumn(), TextColumn("{task.fields[detail]}"))  # fmt: skip
            self._bar = RichProgress(*columns, console=Console(stderr=True))

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=self.total, detail="")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and not self._said_all:
            self._log()

    def note(self, detail: str) -> None:
        """Show `detail` (a loss, a rate) behind the count."""
        self._detail = detail
        if self._bar is not None:
            self._bar.update(self._task, detail=detail)

    def advance(self, units: int = 1) -> None:
        self.done += units
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
        elif time.monotonic() - self._last > _LOG_EVERY_SECONDS:
            self._log()

    def _log(self) -> None:
        self._last = time.monotonic()
        self._said_all = self.done == self.total
        elapsed = self._last - self._started
        left = elapsed / self.done * (self.total - self.done) if self.done else 0.0
        detail = f", {self._detail}" if self._detail else ""
        print(f"{self.name}: {self.done}/{self.total}, {elapsed:.0f} s, {left:.0f} s left{detail}", file=sys.stderr, flush=True)
