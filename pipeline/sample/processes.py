"""Draw a plan in one process or several: each has the model on its own device and draws whole batches of the plan.

Which process draws a batch changes no byte of it: batches are cut the same for any number of processes, noise belongs to the
image, and every process computes with as many threads as one alone would.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

import torch

from pipeline.core.errors import UserError
from pipeline.core.process import die_with_parent
from pipeline.core.progress import Progress
from pipeline.diffusion.devices import devices_of
from pipeline.diffusion.families import DiffusionModel
from pipeline.sample.batches import draw_batches, generate
from pipeline.sample.image_plan import Plan
from pipeline.sample.outputs import pack

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

_POLL_SECONDS = 0.2


LoadModel = Callable[[str], DiffusionModel]
"""Loads the model to draw with onto a device, in any process: `load_merged`, all given but for the device."""


def draw_all(load: LoadModel, plan: Plan, device: str, processes: int = 1) -> None:
    """Draw what is unfinished of the plan with `processes` processes, never more than there are batches.

    Raise UserError as `load` and `generate` do, and when a process ends before its work; finished batches are kept.
    """
    todo = plan.unfinished()
    devices = devices_of(device, processes)[: max(1, len(todo))]
    if len(devices) > 1:
        _draw_side_by_side(load, plan, todo, devices)
    elif todo:
        generate(load(device), plan)


def _draw_side_by_side(load: LoadModel, plan: Plan, todo: Sequence[int], devices: Sequence[str]) -> None:
    # Not forked: neither a GPU's context nor OpenMP's threads survive that.
    context = get_context("spawn")
    failures = context.SimpleQueue()
    threads = torch.get_num_threads()
    workers = [
        context.Process(target=_work, args=(failures, load, plan, device, todo[rank :: len(devices)], threads), daemon=True)
        for rank, device in enumerate(devices)
    ]
    try:
        for worker in workers:
            worker.start()
        _follow(workers, plan)
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()
    if not failures.empty():
        raise UserError(failures.get())
    if plan.unfinished():
        codes = ", ".join(str(worker.exitcode) for worker in workers)
        raise UserError(
            f"{plan.name} is not finished, because a process ended early (exit codes {codes}; -9 is often too little memory); "
            "finished images are kept, run again, with fewer --processes if it was memory"
        )


def _work(failures: SimpleQueue[str], load: LoadModel, plan: Plan, device: str, todo: Sequence[int], threads: int) -> None:
    """Draw this process's batches, or send the sentence that says why not."""
    die_with_parent()
    torch.set_num_threads(threads)
    try:
        if device.startswith("cuda"):
            torch.cuda.set_device(device)  # else the first GPU would hold a context of each process
        draw_batches(load(device), plan, todo, lambda images: None)
    except UserError as error:
        failures.put(str(error))
        sys.exit(2)


def _follow(workers: Sequence[BaseProcess], plan: Plan) -> None:
    """Wait until all processes are done, or one has failed, and show how many images there are."""
    with Progress(f"sample {plan.name}", len(plan.images)) as progress:
        while True:
            alive = any(worker.is_alive() for worker in workers)
            progress.advance(len(plan.images) - plan.count_images(plan.unfinished()) - progress.done)
            pack(plan)
            if not alive or any(worker.exitcode for worker in workers):
                return
            time.sleep(_POLL_SECONDS)
