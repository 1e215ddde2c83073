"""The process that trains: sd-scripts' train_network.py, unmodified, with three hooks of ours on its NetworkTrainer.

Run by `accelerate launch` with sd-scripts on PYTHONPATH. Our own options come in one environment variable, because
sd-scripts takes unknown TOML keys in silence. Its command line works as always.
"""

from __future__ import annotations

import pipeline.compat  # noqa: F401  (before sd-scripts imports torchvision)

import json
import math
import os
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.process import die_with_parent
from pipeline.train.condition_drop import drop_conditions
from pipeline.train.kohya.options import Options

_BLOCKS = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]
_FIXED = {
    "down_block_types": _BLOCKS,
    "up_block_types": [name.replace("Down", "Up") for name in reversed(_BLOCKS)],
    "layers_per_block": 2,
    "in_channels": 4,
    "out_channels": 4,
    "num_attention_heads": None,
    "norm_eps": 1e-5,
}
"""What sd-scripts' U-Net takes for granted, as keys of a diffusers config.json."""


def trainer_class(network_trainer: type, options: Options) -> type:
    """sd-scripts' NetworkTrainer with condition drop, a record of the losses, and a stop at the first that is not finite."""

    class Trainer(network_trainer):
        def __init__(self) -> None:
            super().__init__()
            self.step = -1
            Path(options.loss_file).write_text("step,loss\n")

        def on_step_start(
            self, args: Any, accelerator: Any, network: Any, text_encoders: Any, unet: Any, batch: dict[str, Any],
            weight_dtype: Any, is_train: bool = True,
        ) -> None:  # fmt: skip
            self.step += 1
            ids = batch["input_ids_list"]
            empty = _empty_prompt() if options.condition_drop else ids[0]
            ids[0] = drop_conditions(ids[0], empty, options.condition_drop, args.seed, self.step)

        def process_batch(self, *arguments: Any, **named: Any) -> Any:
            loss = super().process_batch(*arguments, **named)
            self._record(loss.item())
            return loss

        def _record(self, loss: float) -> None:
            step = self.step + 1
            if not math.isfinite(loss):
                raise UserError(f"the loss is {loss} at step {step}; lower unet_lr and text_encoder_lr, or set precision: fp32")
            with Path(options.loss_file).open("a") as file:
                file.write(f"{step},{loss!r}\n")

    return Trainer


def _empty_prompt() -> Any:
    """Token ids of the empty prompt as sd-scripts makes them, [1,C,77]."""
    from library.strategy_base import TokenizeStrategy

    return TokenizeStrategy.get_strategy().tokenize("")[0]


def adapt_unet(model: str) -> None:
    """Give sd-scripts' U-Net, whose sizes are constants of its module, the sizes of the model in a local folder.

    Raises UserError when the model differs from Stable Diffusion 1.x in more than its sizes.
    """
    config_file = Path(model) / "unet/config.json"
    if not config_file.is_file():
        return
    config = json.loads(config_file.read_text(encoding="utf-8"))
    for key, expected in _FIXED.items():
        if config.get(key, expected) != expected:
            raise UserError(f"{config_file}: {key} is {config[key]}, sd-scripts needs {expected}; set trainer: builtin")
    widths = config["block_out_channels"]
    _check_heads(config_file, widths, config["attention_head_dim"])
    from library import original_unet

    original_unet.BLOCK_OUT_CHANNELS = tuple(widths)
    original_unet.TIMESTEP_INPUT_DIM = widths[0]
    original_unet.TIME_EMBED_DIM = 4 * widths[0]
    original_unet.NORM_GROUPS = original_unet.TRANSFORMER_NORM_NUM_GROUPS = config.get("norm_num_groups", 32)


def _check_heads(config_file: Path, widths: list[int], heads: int | list[int]) -> None:
    """`attention_head_dim` counts heads in Stable Diffusion 1.x, whatever its name says."""
    per_block = heads if isinstance(heads, list) else [heads] * len(widths)
    for width, count in zip(widths, per_block, strict=True):
        if width % count:
            raise UserError(f"{config_file}: a width of {width} cannot be split into {count} heads (attention_head_dim)")


def main() -> None:
    die_with_parent()
    options = Options.from_environment(os.environ)
    import train_network
    from library import train_util

    parser = train_network.setup_parser()
    args = parser.parse_args()
    train_util.verify_command_line_training_args(args)
    args = train_util.read_config_from_file(args, parser)
    adapt_unet(args.pretrained_model_name_or_path)
    trainer_class(train_network.NetworkTrainer, options)().train(args)


if __name__ == "__main__":
    main()
