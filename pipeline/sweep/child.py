"""`python -m pipeline.sweep.child CORES MODULE ARGUMENT...`: run a module on some cores only, and end with the sweep."""

from __future__ import annotations

import os
import runpy
import sys

from pipeline.process import die_with_parent


def command(cores: list[int], module: str, *arguments: str) -> list[str]:
    """The command line that runs `module` on `cores` (everywhere where the list is empty)."""
    return [sys.executable, "-m", "pipeline.sweep.child", ",".join(map(str, cores)), module, *arguments]


def main() -> None:
    cores, module, *arguments = sys.argv[1:]
    die_with_parent()
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
