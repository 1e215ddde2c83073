"""Start `dvc repro`, or one stage, in a session of its own; wait for a moment in it; see that nobody is left."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from test_chain import environment

TARGETS = ("everything", "only DVC", "only the stage")


@dataclass
class Started:
    """A process that leads a session, and the file that takes all it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def members(self) -> list[psutil.Process]:
        """Running processes of the session; one that has ended and waits to be collected does not count."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def stages(self) -> list[psutil.Process]:
        """Children of DVC's that run a stage: not the server that forks for them."""
        with suppress(psutil.Error):
            return [child for child in psutil.Process(self.process.pid).children() if "pipeline" in child.cmdline()]
        return []

    def wait_until(self, happened: Callable[[], bool], seconds: float = 900) -> None:
        until = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < until and self.process.poll() is None, self.said()
            time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """What the session has computed so far: unlike the time of day, it says how far a run is on any machine."""
        total = 0.0
        for process in self.members():
            with suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])  # its own and, of the children that have ended, theirs
        return total

    def left_behind(self, seconds: float = 60) -> list[str]:
        """What still runs of the session after it has ended, given some time to notice."""
        until = time.monotonic() + seconds
        while (left := self.members()) and time.monotonic() < until:
            time.sleep(0.05)
        return [" ".join(process.cmdline()) for process in left]

    def kill_rest(self) -> None:
        for process in self.members():
            with suppress(psutil.Error):
                process.kill()
        self.process.wait()


def start(project: Path, log: Path, *command: str, **variables: str) -> Started:
    """`python -m COMMAND` in the project."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=project, env=environment() | variables, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, preexec_fn=_heed_interrupts,
        )  # fmt: skip
    return Started(process, log)


def _heed_interrupts() -> None:
    """A shell's background jobs ignore SIGINT, and so would all that tests start which run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kill(started: Started, target: str) -> None:
    """SIGKILL a part of a running `dvc repro`."""
    if target == "everything":
        os.killpg(started.process.pid, signal.SIGKILL)
    elif target == "only DVC":
        started.process.kill()
    else:
        for stage in started.stages():
            with suppress(psutil.Error):
                stage.kill()


def kill_after(started: Started, target: str, seconds: float, begun: Callable[[str], bool]) -> bool:
    """Kill after so many seconds of computing from when `begun` is true of what was said so far; "only the stage" waits for
    one. Returns whether it still ran then.
    """
    since = math.inf
    while started.process.poll() is None:
        computed = started.cpu_seconds()
        if since == math.inf and begun(started.said()):
            since = computed
        if computed - since >= seconds and (target != "only the stage" or started.stages()):
            kill(started, target)
            started.process.wait()
            return True
        time.sleep(0.02)
    return False
