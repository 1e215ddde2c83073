"""Run a module on some cores, and end with the sweep (`python -m pipeline.studies.sweep.child CORES DEAF MODULE ARG...`)."""

from __future__ import annotations

import os
import runpy
import signal
import sys

from pipeline.core.process import die_with_parent


def command(cores: list[int], deaf: bool, module: str, *arguments: str) -> list[str]:
    """The command line that runs `module` on `cores` (everywhere where the list is empty).

    A `deaf` one hears none of the signals that Slurm sends to all processes of a job before it ends it: they are the job's.
    """
    return [sys.executable, "-m", "pipeline.studies.sweep.child", ",".join(map(str, cores)), str(int(deaf)), module, *arguments]


def main() -> None:
    cores, deaf, module, *arguments = sys.argv[1:]
    die_with_parent()
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    if deaf == "1":
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
