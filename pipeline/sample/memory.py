"""How many images can be drawn at a time in the memory that is free; tests/scale holds the estimates to a count."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from pipeline.core.errors import UserError, is_out_of_memory
from pipeline.diffusion.compiled import release_memory
from pipeline.diffusion.families import DiffusionModel
from pipeline.sample.sampler import DECODE_PIXELS, SampleSettings

_RESERVE = 512 * 2**20
"""For what is not counted: the libraries' workspaces, fragments."""


def bytes_of_decoding(model: DiffusionModel, settings: SampleSettings) -> int:
    """Return an upper estimate of what decoding one part of a batch needs."""
    return model.decoding_bytes(max(DECODE_PIXELS, settings.height * settings.width))


def bytes_per_image(model: DiffusionModel, settings: SampleSettings) -> int:
    """Return an upper estimate of what each image of a batch needs in the denoiser, both branches together."""
    return model.prediction_bytes(settings.height * settings.width // model.pixels_per_latent**2)


def free_memory(device: torch.device) -> int | None:
    """Return bytes that new tensors can take on `device`; None where that cannot be told."""
    if device.type == "cpu":
        return _available()
    try:
        free = torch.accelerator.get_memory_info(device)[0]
        return free + torch.accelerator.memory_reserved(device) - torch.accelerator.memory_allocated(device)
    except (RuntimeError, AttributeError, NotImplementedError):
        return None


def _available(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return main memory that Linux could give out without swapping."""
    if not meminfo.is_file():
        return None
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def images_at_a_time(model: DiffusionModel, settings: SampleSettings, batch: int) -> int:
    """Return `batch`, or the largest of its halves that fits; at least 1, since only trying tells whether that fails.

    Halves, so that a little more or less free memory seldom changes the number, and with it a GPU's rounding.
    """
    free = free_memory(model.device)
    if free is None:
        return batch
    # Several parts are decoded only where several are drawn: a small batch needs less.
    room = free - _RESERVE - min(bytes_of_decoding(model, settings), free // 2)
    while batch > 1 and batch * bytes_per_image(model, settings) > room:
        batch = -(-batch // 2)
    return batch


Result = TypeVar("Result")


class ShrinkingBatches:
    """Does work on `rows` rows at a time, and on half as many for good whenever that has run out of memory."""

    def __init__(self, name: str, rows: int) -> None:
        self._name, self.rows = name, rows

    def each(self, work: Callable[[slice], Result], count: int) -> list[Result]:
        """Return the result of `work` on every part of `count` rows, in order.

        Says once at each change how many rows a part has from now on. Raise UserError when a single row does not fit.
        """
        results: list[Result] = []
        start, before = 0, self.rows
        while start < count:
            part = slice(start, min(count, start + self.rows))
            result = _tried(work, part)
            if result is not None:
                results.append(result)
                start = part.stop
            else:
                self._halve(part.stop - start)
        if self.rows < before:
            print(f"{self._name}: out of memory with {before} images at a time, going on with {self.rows}", file=sys.stderr)
        return results

    def _halve(self, failed: int) -> None:
        if failed == 1:
            raise UserError(
                f"{self._name}: out of memory with a single image; set precision: fp16 or resolution lower, "
                "or free memory of other programs; finished images are kept"
            )
        self.rows = -(-failed // 2)
        release_memory()


def _tried(work: Callable[[slice], Result], part: slice) -> Result | None:
    """Return None when it ran out of memory. The error is gone on return, and with it what its frames held."""
    try:
        return work(part)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
