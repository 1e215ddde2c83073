"""Several processes that train one network in sd-scripts: what each of them must do otherwise than one alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.core.randomness import derive_seed

if TYPE_CHECKING:
    import torch


class Rank:
    """This process among `count`, as torch's launcher numbers them; alone it changes nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.number, self.count = int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1))

    def seed(self, seed: int) -> int:
        """Return the seed itself in the first process, others in the others."""
        return derive_seed("rank", seed, self.number) % 2**31 if self.number else seed

    def seed_rank(self, seed: int) -> None:
        """Seed this process: sd-scripts seeds all alike, so that each would add the same noise at the same times."""
        if self.number:
            import torch

            torch.manual_seed(self.seed(seed))

    def leave_frozen_networks(self, accelerator: Any) -> None:
        """Keep accelerate from sharing frozen networks on CPUs, which torch refuses; on GPUs it leaves them alone."""
        if self.count == 1 or accelerator.device.type != "cpu":
            return
        wrapping = accelerator.prepare_model

        def prepare(model: Any, *arguments: Any, **named: Any) -> Any:
            trained = any(parameter.requires_grad for parameter in model.parameters())
            return wrapping(model, *arguments, **named) if trained else model

        accelerator.prepare_model = prepare

    def mean(self, loss: torch.Tensor) -> float:
        """Return the mean of all processes' losses, for which they wait for each other."""
        if self.count == 1:
            return float(loss.item())
        import torch

        total = loss.detach().clone()
        torch.distributed.all_reduce(total)
        return float(total.item()) / self.count
