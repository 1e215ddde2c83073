"""Batches whose work a GPU may not have ended yet, so that the next one need not wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.diffusion.compiled import is_compiled
from pipeline.diffusion.families import DiffusionModel
from pipeline.sample.memory import ShrinkingBatches
from pipeline.sample.sampler import Drawn, Settings, decode, draw_latents


@dataclass(frozen=True)
class QueuedBatch:
    """As Drawn, on the CPU, where a GPU is still going to copy it to."""

    pixels: torch.Tensor
    """[N,H,W,3] uint8."""
    latents: torch.Tensor
    """[N,4,h,w] float32."""
    diff_norm: torch.Tensor
    """[N,T] float32."""
    arrived: torch.cuda.Event | None
    """None: it is there."""

    def wait(self) -> Drawn:
        """Wait until it is there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return Drawn(self.pixels.numpy(), self.latents, self.diff_norm)


def queue_batch(
    model: DiffusionModel,
    conditions: torch.Tensor,
    unconditional: torch.Tensor,
    seeds: Sequence[int],
    settings: Settings,
    rows: int,
    name: str,
) -> QueuedBatch:
    """As `sampler.draw`; on a GPU all of it, decoding too, is queued there, in one stream, and nothing is waited for.

    A compiled U-Net always gets `rows` images, so that it is compiled for one shape. Raise UserError when there is no memory
    to decode even one image of `name`.
    """
    count = len(seeds)
    if is_compiled(model.denoiser) and count < rows:
        conditions = torch.cat([conditions, conditions[-1:].expand(rows - count, *conditions.shape[1:])])
        seeds = [*seeds, *[seeds[-1]] * (rows - count)]
    latents, diff_norm = draw_latents(model, conditions, unconditional, seeds, settings)
    decoding = ShrinkingBatches(f"sample {name}, decoding", count)
    pixels = torch.cat(decoding.each(lambda part: decode(model, latents[:count][part]), count))
    pixels, latents, diff_norm = (_to_cpu(tensor) for tensor in (pixels, latents[:count], diff_norm[:count]))
    return QueuedBatch(pixels, latents, diff_norm, _recorded(model.device))


def _to_cpu(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.device.type != "cuda":
        return tensor.cpu()
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def _recorded(device: torch.device) -> torch.cuda.Event | None:
    """Return the event of the device having done all that was queued so far."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event(blocking=True)
    event.record(torch.cuda.current_stream(device))
    return event


def concatenate(parts: Sequence[Drawn]) -> Drawn:
    """Join the parts of a batch."""
    if len(parts) == 1:
        return parts[0]
    latents, diff_norm = (torch.cat([getattr(part, name) for part in parts]) for name in ("latents", "diff_norm"))
    return Drawn(np.concatenate([part.pixels for part in parts]), latents, diff_norm)
