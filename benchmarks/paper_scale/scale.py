"""How large a benchmark run is: the paper's size on a GPU, a small one of the same model on a CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import torch

from pipeline.diffusion.compiled import SWITCH

Keep = Callable[[str, float], None]


@dataclass(frozen=True)
class Scale:
    """Sizes of one run; `side` in pixels."""

    device: str
    side: int
    precision: str
    steps: int
    """Of sampling."""
    batches: tuple[int, ...]
    """Of sampling."""
    images: int
    """Drawn in a timed run, but for `count`."""
    fewest: int
    """Batches of a timed run: while one is drawn, the one before it is written."""
    updates: int
    """Of training."""
    skipped: int
    """Updates at the beginning of a training, which are not timed."""
    tokens: int
    repeats: int
    ways: tuple[str, ...] = ("plain", "compiled")
    """Of sampling; a CPU does not compile."""
    keep: Keep = field(default=lambda name, value: None, repr=False, compare=False)
    """Hears of each number, by name, as soon as it is known: a command that is cut off loses one at most."""

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    def count(self, batch: int) -> int:
        """Images of a timed run: whole batches, `images` of them where that is neither too few nor more than 8 batches."""
        return batch * max(self.fewest, min(8, -(-self.images // batch)))


def scale_of(device: str, quick: bool) -> Scale:
    """The paper's settings on a GPU; on a CPU one latent in 64, and few steps."""
    if device == "cpu":
        updates, batches = (3, (1,)) if quick else (6, (1, 8))
        return Scale(device, 64, "fp32", 2 if quick else 4, batches, 1, 1, updates, 1, 75, 1 if quick else 2)
    if quick:
        return Scale(device, 512, "fp16", 30, (8,), 16, 2, 80, 20, 75, 1)
    return Scale(device, 512, "fp16", 30, (1, 8, 16, 32), 64, 4, 300, 100, 75, 3)


@contextmanager
def compiling(on: bool) -> Iterator[None]:
    """Inside the block our U-Net is compiled, or not, whatever the amount of work says."""
    os.environ[SWITCH] = "1" if on else "0"
    try:
        yield
    finally:
        del os.environ[SWITCH]


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize(torch.device(device))


def seconds_of(run: Callable[[], object], device: str) -> float:
    """Wall time of one call, to its last kernel."""
    synchronize(device)
    began = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - began


def interleaved(runs: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each run, after one that is not timed, the runs taking turns so that the machine's moods hit all."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(seconds_of(run, device))
    return {name: median(values) for name, values in times.items()}
