"""Processes that train one LoRA together with the builtin trainer: each computes its share of every batch.

What chance decides is drawn for the whole batch by all of them alike, so the result is that of one process but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import distributed, nn


class ProcessGroup:
    """This process, number `rank` of `size`; alone it changes nothing."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._trained: list[nn.Parameter] = []

    def share(self, rows: int) -> slice:
        """Return this process's rows of a batch; shares differ by one row at most, and may be empty."""
        return slice(self.rank * rows // self.size, (self.rank + 1) * rows // self.size)

    def add_up(self, loss: torch.Tensor, parameters: Sequence[nn.Parameter]) -> torch.Tensor:
        """Make gradients, and the loss that is returned, the sums over all processes, in one exchange."""
        if self.size == 1:
            return loss.detach()
        trained = self._trained or self._find_trained(parameters)
        parts = [parameter.grad if parameter.grad is not None else torch.zeros_like(parameter) for parameter in trained]
        whole = torch.cat([loss.detach().float().reshape(1), *(part.flatten() for part in parts)])
        distributed.all_reduce(whole)
        sums = whole.split([1, *(part.numel() for part in parts)])
        for parameter, total in zip(trained, sums[1:], strict=True):
            parameter.grad = total.view_as(parameter)
        return sums[0].squeeze()

    def _find_trained(self, parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
        """Return those with a gradient in any process: a process without rows has none, and what clip skip leaves out never."""
        flags = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=parameters[0].device)
        distributed.all_reduce(flags)
        self._trained = [parameter for parameter, flag in zip(parameters, flags.tolist(), strict=True) if flag]
        return self._trained
