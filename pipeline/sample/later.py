"""Latents whose decoding is put off, so that the next batch need not wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.compiled import is_compiled
from pipeline.models import StableDiffusion
from pipeline.sample.pieces import Pieces
from pipeline.sample.sampler import Drawn, Settings, decode, draw_latents


@dataclass(frozen=True)
class Undecoded:
    """As Drawn, without pixels, on the model's device, where the work may still be under way."""

    latents: torch.Tensor
    """[N,4,h,w] float32."""
    diff_norm: torch.Tensor
    """[N,T] float32."""


def draw_undecoded(
    model: StableDiffusion,
    conditions: torch.Tensor,
    unconditional: torch.Tensor,
    seeds: Sequence[int],
    settings: Settings,
    rows: int,
) -> Undecoded:
    """As `sampler.draw` without decoding. A compiled U-Net always gets `rows` images, so that it is compiled for one shape."""
    count = len(seeds)
    if is_compiled(model.unet) and count < rows:
        conditions = torch.cat([conditions, conditions[-1:].expand(rows - count, *conditions.shape[1:])])
        seeds = [*seeds, *[seeds[-1]] * (rows - count)]
    latents, diff_norm = draw_latents(model, conditions, unconditional, seeds, settings)
    return Undecoded(latents[:count], diff_norm[:count])


def decoded(model: StableDiffusion, drawn: Undecoded, name: str) -> Drawn:
    """The images. Raises UserError when there is no memory to decode even one."""
    pieces = Pieces(f"sample {name}, decoding", len(drawn.latents))
    with torch.inference_mode():
        pixels = pieces.each(lambda rows: decode(model, drawn.latents[rows]), len(drawn.latents))
        return Drawn(np.concatenate(pixels), drawn.latents.cpu(), drawn.diff_norm.cpu())


def joined(pieces: Sequence[Drawn]) -> Drawn:
    """The pieces of a batch as one."""
    if len(pieces) == 1:
        return pieces[0]
    latents, diff_norm = (torch.cat([getattr(piece, name) for piece in pieces]) for name in ("latents", "diff_norm"))
    return Drawn(np.concatenate([piece.pixels for piece in pieces]), latents, diff_norm)
