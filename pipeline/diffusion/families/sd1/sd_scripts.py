"""How sd-scripts finetunes a Stable Diffusion 1.x; its sizes, constants of sd-scripts' modules, become those of the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.diffusion.families.sd1.layout import BLOCKS

SCRIPT = "train_network"
TRAINER = "NetworkTrainer"

UNET_FIXED = {
    "down_block_types": BLOCKS,
    "up_block_types": [name.replace("Down", "Up") for name in reversed(BLOCKS)],
    "layers_per_block": 2,
    "in_channels": 4,
    "out_channels": 4,
    "num_attention_heads": None,
    "norm_eps": 1e-5,
}
"""What sd-scripts' U-Net takes for granted, as keys of a diffusers config.json."""


def trainer(script: Any) -> type:
    """Return sd-scripts' trainer as it is."""
    found: type = script.NetworkTrainer
    return found


def set_sizes(model: str) -> None:
    """Set the sizes of a Stable Diffusion 1.x. Raise UserError when the model differs from it in more than its sizes."""
    config_file = Path(model) / "unet/config.json"
    if not config_file.is_file():
        return
    config = checked_config(config_file, UNET_FIXED)
    widths = config["block_out_channels"]
    _check_heads(config_file, widths, config["attention_head_dim"])
    from library import original_unet

    original_unet.BLOCK_OUT_CHANNELS = tuple(widths)
    original_unet.TIMESTEP_INPUT_DIM = widths[0]
    original_unet.TIME_EMBED_DIM = 4 * widths[0]
    original_unet.NORM_GROUPS = original_unet.TRANSFORMER_NORM_NUM_GROUPS = config.get("norm_num_groups", 32)


def checked_config(config_file: Path, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config.json. Raise UserError for a value that sd-scripts cannot have otherwise than `fixed` says."""
    config: dict[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
    for key, expected in fixed.items():
        if config.get(key, expected) != expected:
            raise UserError(
                f"{config_file}: {key} is {config[key]}, sd-scripts needs {expected}; trainer: builtin (params.yaml) takes it"
            )
    return config


def _check_heads(config_file: Path, widths: list[int], heads: int | list[int]) -> None:
    """Check that widths divide into heads, which `attention_head_dim` counts, whatever its name says."""
    per_block = heads if isinstance(heads, list) else [heads] * len(widths)
    for width, count in zip(widths, per_block, strict=True):
        if width % count:
            raise UserError(f"{config_file}: a width of {width} cannot be split into {count} heads (attention_head_dim)")
