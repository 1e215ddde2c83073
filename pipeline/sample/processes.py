"""Draw a plan in one process or several: each has the model on its own device and draws whole batches of the plan.

Which process draws a batch changes no byte of it: batches are cut the same for any number of processes, noise belongs to the
image, and every process computes with as many threads as one alone would.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pipeline.core.errors import UserError
from pipeline.core.process import die_with_parent
from pipeline.core.progress import Progress
from pipeline.diffusion.devices import devices_of
from pipeline.sample.batches import draw_batches, generate
from pipeline.sample.image_plan import Plan
from pipeline.sample.outputs import pack
from pipeline.sample.sampler import load_merged

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class ModelSource:
    """The model to draw with, as any process can load it; as `load_merged` takes it."""

    model: str
    vae: str | None
    weights: Path | None
    precision: str


def draw_all(source: ModelSource, plan: Plan, device: str, processes: int = 1) -> None:
    """Draw what is unfinished of the plan with `processes` processes, never more than there are batches.

    Raise UserError as `load_merged` and `generate` do, and when a process ends before its work; finished batches are kept.
    """
    todo = plan.unfinished()
    devices = devices_of(device, processes)[: max(1, len(todo))]
    if len(devices) > 1:
        _draw_side_by_side(source, plan, todo, devices)
    elif todo:
        generate(load_merged(source.model, source.vae, source.weights, source.precision, device), plan)


def _draw_side_by_side(source: ModelSource, plan: Plan, todo: Sequence[int], devices: Sequence[str]) -> None:
    # Not forked: neither a GPU's context nor OpenMP's threads survive that.
    context = get_context("spawn")
    failures = context.SimpleQueue()
    threads = torch.get_num_threads()
    workers = [
        context.Process(target=_work, args=(failures, source, plan, device, todo[rank :: len(devices)], threads), daemon=True)
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


def _work(failures: SimpleQueue[str], source: ModelSource, plan: Plan, device: str, todo: Sequence[int], threads: int) -> None:
    """Draw this process's batches, or send the sentence that says why not."""
    die_with_parent()
    torch.set_num_threads(threads)
    try:
        if device.startswith("cuda"):
            torch.cuda.set_device(device)  # else the first GPU would hold a context of each process
        model = load_merged(source.model, source.vae, source.weights, source.precision, device)
        draw_batches(model, plan, todo, lambda images: None)
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
