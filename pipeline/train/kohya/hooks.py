"""What our trainers do inside of sd-scripts' own: condition drop, and which of several processes this one is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.core.errors import UserError
from pipeline.core.randomness import derive_seed
from pipeline.train.condition_drop import drop_conditions

BYPASSED = "sd-scripts takes the text condition from elsewhere than the captions' tokens, so condition drop cannot reach it"


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
        total = loss.detach().clone()
        torch.distributed.all_reduce(total)
        return float(total.item()) / self.count


def with_condition_drop(network_trainer: type, probability: float) -> type:
    """Return a trainer of sd-scripts that trains some samples of each step on the empty prompt; none at validation.

    `probability` 0 leaves every batch as it is.
    """

    class Dropping(network_trainer):
        def __init__(self) -> None:
            super().__init__()
            self.step, self.first_step, self.rank = -1, 0, Rank(os.environ)

        def load_target_model(self, args: Any, weight_dtype: Any, accelerator: Any) -> Any:
            self.rank.leave_frozen_networks(accelerator)
            return super().load_target_model(args, weight_dtype, accelerator)

        def on_step_start(
            self, args: Any, accelerator: Any, network: Any, text_encoders: Any, unet: Any, batch: dict[str, Any],
            weight_dtype: Any, is_train: bool = True,
        ) -> None:  # fmt: skip
            # A hook for such as this: sd-scripts' own is empty.
            if not is_train:
                return
            self.step += 1
            if self.step == 0:
                self.first_step = _batches_before(args)
            _drop(batch, probability, self.rank.seed(args.seed), self.first_step + self.step)

    return Dropping


def _drop(batch: dict[str, Any], probability: float, seed: int, step: int) -> None:
    """Replace rows of a batch's token ids. Raise UserError where sd-scripts would not look at them."""
    if not probability:
        return
    ids = batch.get("input_ids_list")
    if ids is None or batch.get("text_encoder_outputs_list") is not None:
        raise UserError(f"{BYPASSED}; leave out --condition-drop, or this way of training")
    # One tensor for each text encoder; step and seed alone decide which rows go, so the same ones go in all.
    for index, (own, blank) in enumerate(zip(ids, _empty_prompt(), strict=True)):
        ids[index] = drop_conditions(own, blank, probability, seed, step)


def _empty_prompt() -> Any:
    """Return token ids of the empty prompt as sd-scripts makes them: [1,C,77] for each text encoder."""
    from library.strategy_base import TokenizeStrategy

    return TokenizeStrategy.get_strategy().tokenize("")


def _batches_before(args: Any) -> int:
    """Return how many batches a resumed run has had before, so that it goes on with other samples than it began with."""
    updates = getattr(args, "initial_step", None)
    state = Path(getattr(args, "resume", None) or "") / "train_state.json"
    if updates is None and getattr(args, "resume", None) and state.is_file():
        updates = json.loads(state.read_text(encoding="utf-8"))["current_step"]
    return int(updates or 0) * int(getattr(args, "gradient_accumulation_steps", None) or 1)
