"""A process of a chain: runs a module on some cores, and ends with the sweep (`command` starts it)."""

from __future__ import annotations

import os
import runpy
import signal
import sys

from pipeline.core.process import die_with_parent


def command(cores: list[int], ignores_signals: bool, module: str, *arguments: str) -> list[str]:
    """Return the command line that runs `module` on `cores` (everywhere where the list is empty).

    `ignores_signals`: those that Slurm sends to all processes of a job before it ends the job are for the job's own process.
    """
    return [sys.executable, "-m", __name__, ",".join(map(str, cores)), str(int(ignores_signals)), module, *arguments]


def main() -> None:
    cores, ignores_signals, module, *arguments = sys.argv[1:]
    die_with_parent()
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    if ignores_signals == "1":
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
