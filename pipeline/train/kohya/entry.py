"""The process that trains: one of sd-scripts' scripts, unmodified, with three hooks of ours.

Run by `accelerate launch` with sd-scripts on PYTHONPATH. Our own options come in one environment variable, because
sd-scripts takes unknown TOML keys in silence. Its command line works as always.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before sd-scripts imports torchvision)

import importlib
import math
import os
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.process import die_with_parent
from pipeline.diffusion.families import FAMILIES
from pipeline.train.kohya.hooks import with_condition_drop
from pipeline.train.kohya.launch import Options


def trainer_class(network_trainer: type, options: Options) -> type:
    """Return a trainer of sd-scripts with condition drop, a record of the losses, and a stop at the first not finite."""

    class Trainer(with_condition_drop(network_trainer, options.condition_drop)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            if self.rank.number == 0:
                Path(options.loss_file).write_text("step,loss\n")

        def on_step_start(self, args: Any, *rest: Any, **named: Any) -> None:
            super().on_step_start(args, *rest, **named)
            if self.step == 0:
                self.rank.seed_rank(args.seed)

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
