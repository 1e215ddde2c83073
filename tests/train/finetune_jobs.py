"""Run kohya scripts on people's configs: import sd-scripts once, then fork for each run, because it trains once per process.

Usage: finetune_jobs.py JOBS.json SD_SCRIPTS. A job: {"cwd", "out", "argv", "family", "task": what our entry is told, null
for the unmodified script}. It leaves log.txt and status in its `out`.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before sd-scripts imports torchvision)

import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

import torch

sys.path.append(sys.argv[2])

import sdxl_train_network  # noqa: F401
import train_network  # noqa: F401

from pipeline.diffusion.families import FAMILIES
from pipeline.train.kohya import finetune_entry


def run(job: dict[str, Any]) -> None:
    os.chdir(job["cwd"])
    sys.argv = ["script", *job["argv"]]
    if job["task"] is not None:
        os.environ.update(finetune_entry.Task(**job["task"]).to_environment())
        finetune_entry.main()
        return
    adapter = FAMILIES[job["family"]].sd_scripts
    adapter.set_sizes(job["model"])
    runpy.run_path(str(Path(job["scripts"]) / f"{adapter.SCRIPT}.py"), run_name="__main__")


def main() -> None:
    torch.set_num_threads(1)
    for job in json.loads(Path(sys.argv[1]).read_text()):
        out = Path(job["out"])
        out.mkdir(parents=True, exist_ok=True)
        child = os.fork()
        if child == 0:
            log = os.open(out / "log.txt", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status: Any = 0
            try:
                run(job)
            except SystemExit as end:
                status = end.code or 0
            except BaseException:
                traceback.print_exc()
                status = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status if isinstance(status, int) else 1)
        (out / "status").write_text(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))


if __name__ == "__main__":
    main()
