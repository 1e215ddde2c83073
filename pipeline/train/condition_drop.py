"""Condition drop finetuning (section 5 of the paper): some samples of each step are trained on the empty prompt."""

from __future__ import annotations

import torch

from pipeline.core.randomness import derive_seed, generator
from pipeline.diffusion.devices import to_device


def dropped(count: int, probability: float, seed: int, step: int) -> torch.Tensor:
    """Return which of the `count` samples of a step lose their condition: [count] bool, independent per sample and step.

    A private generator seeded by (seed, step): the global one would move the noise and the timesteps.
    """
    return torch.rand(count, generator=generator(derive_seed("condition_drop", seed, step))) < probability


def drop_conditions(ids: torch.Tensor, empty: torch.Tensor, probability: float, seed: int, step: int) -> torch.Tensor:
    """Return token ids [B,...,77] with the dropped rows replaced by the empty prompt's ids [1,...,77].

    A row is all that one sample is conditioned on: SDXL's has the ids of both tokenizers. Return `ids` itself, untouched,
    when the probability is 0, and a new tensor otherwise.
    """
    if probability == 0.0:
        return ids
    rows = to_device(ids.device, dropped(len(ids), probability, seed, step))
    return torch.where(rows.view(-1, *[1] * (ids.ndim - 1)), empty.to(ids.device), ids)
