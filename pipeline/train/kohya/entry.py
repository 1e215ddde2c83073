"""The process that trains: one of sd-scripts' scripts, unmodified, with three hooks of ours.

Run by `accelerate launch` with sd-scripts on PYTHONPATH. Our own options come in one environment variable, because
sd-scripts takes unknown TOML keys in silence. Its command line works as always.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before sd-scripts imports torchvision)

import importlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.core.errors import UserError
from pipeline.core.process import die_with_parent
from pipeline.core.randomness import derive_seed
from pipeline.diffusion.families import FAMILIES
from pipeline.train.condition_drop import drop_conditions
from pipeline.train.kohya.launch import Options


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


def trainer_class(network_trainer: type, options: Options) -> type:
    """Return a trainer of sd-scripts with condition drop, a record of the losses, and a stop at the first not finite."""

    class Trainer(network_trainer):
        def __init__(self) -> None:
            super().__init__()
            self.step, self.rank = -1, Rank(os.environ)
            if self.rank.number == 0:
                Path(options.loss_file).write_text("step,loss\n")

        def load_target_model(self, args: Any, weight_dtype: Any, accelerator: Any) -> Any:
            self.rank.leave_frozen_networks(accelerator)
            return super().load_target_model(args, weight_dtype, accelerator)

        def on_step_start(
            self, args: Any, accelerator: Any, network: Any, text_encoders: Any, unet: Any, batch: dict[str, Any],
            weight_dtype: Any, is_train: bool = True,
        ) -> None:  # fmt: skip
            self.step += 1
            if self.step == 0:
                self.rank.seed_rank(args.seed)
            # One tensor for each text encoder; step and seed alone decide which rows go, so the same ones go in all.
            ids = batch["input_ids_list"]
            empty = _empty_prompt() if options.condition_drop else ids
            for index, (own, blank) in enumerate(zip(ids, empty, strict=True)):
                ids[index] = drop_conditions(own, blank, options.condition_drop, self.rank.seed(args.seed), self.step)

        def process_batch(self, *arguments: Any, **named: Any) -> Any:
            loss = super().process_batch(*arguments, **named)
            self._record(self.rank.mean(loss))
            return loss

        def _record(self, loss: float) -> None:
            step = self.step + 1
            if not math.isfinite(loss):
                raise UserError(f"the loss is {loss} at step {step}; lower unet_lr and text_encoder_lr, or set precision: fp32")
            if self.rank.number == 0:
                with Path(options.loss_file).open("a") as file:
                    file.write(f"{step},{loss!r}\n")

    return Trainer


def _empty_prompt() -> Any:
    """Return token ids of the empty prompt as sd-scripts makes them: [1,C,77] for each text encoder."""
    from library.strategy_base import TokenizeStrategy

    return TokenizeStrategy.get_strategy().tokenize("")


def run(options: Options) -> None:
    """Train as sd-scripts' command line says, which is that of the family's script."""
    from library import train_util

    adapter = FAMILIES[options.family].sd_scripts
    script = importlib.import_module(adapter.SCRIPT)
    parser = script.setup_parser()
    args = parser.parse_args()
    train_util.verify_command_line_training_args(args)
    args = train_util.read_config_from_file(args, parser)
    adapter.set_sizes(args.pretrained_model_name_or_path)
    trainer_class(adapter.trainer(script), options)().train(args)


def main() -> None:
    die_with_parent()
    run(Options.from_environment(os.environ))


if __name__ == "__main__":
    main()
