"""Give sd-scripts' U-Nets, whose sizes are constants of its modules, the sizes of the model in a local folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError

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

_XL_BLOCKS = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
_XL_FIXED = _FIXED | {
    "down_block_types": _XL_BLOCKS,
    "up_block_types": [name.replace("Down", "Up") for name in reversed(_XL_BLOCKS)],
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "norm_num_groups": 32,
}
_XL_HEAD_WIDTH = 64
_XL_FIRST_ENCODER_LAYERS = 12


def adapt_unet(model: str) -> None:
    """Set the sizes of a Stable Diffusion 1.x. Raises UserError when the model differs from it in more than its sizes."""
    config_file = Path(model) / "unet/config.json"
    if not config_file.is_file():
        return
    config = _checked(config_file, _FIXED)
    widths = config["block_out_channels"]
    _check_heads(config_file, widths, config["attention_head_dim"])
    from library import original_unet

    original_unet.BLOCK_OUT_CHANNELS = tuple(widths)
    original_unet.TIMESTEP_INPUT_DIM = widths[0]
    original_unet.TIME_EMBED_DIM = 4 * widths[0]
    original_unet.NORM_GROUPS = original_unet.TRANSFORMER_NORM_NUM_GROUPS = config.get("norm_num_groups", 32)


def adapt_xl_unet(model: str) -> None:
    """Set the sizes of an SDXL. Raises UserError when the model differs from it in more than its sizes."""
    config_file = Path(model) / "unet/config.json"
    if not config_file.is_file():
        return
    config = _checked(config_file, _XL_FIXED)
    width = config["block_out_channels"][0]
    expected = {
        "block_out_channels": [width, 2 * width, 4 * width],
        "attention_head_dim": [max(1, multiple * width // _XL_HEAD_WIDTH) for multiple in (1, 2, 4)],
    }
    _checked(config_file, expected)
    _checked(Path(model) / "text_encoder/config.json", {"num_hidden_layers": _XL_FIRST_ENCODER_LAYERS})
    from library import sdxl_original_unet

    sdxl_original_unet.MODEL_CHANNELS = width
    sdxl_original_unet.TIME_EMBED_DIM = 4 * width
    sdxl_original_unet.ADM_IN_CHANNELS = config["projection_class_embeddings_input_dim"]
    if config["cross_attention_dim"] != sdxl_original_unet.CONTEXT_DIM:
        _narrow_context(sdxl_original_unet, config["cross_attention_dim"])


def _narrow_context(module: Any, width: int) -> None:
    """The width of the text condition stands in each call of the transformers' class, so the class gets it from here."""

    class Transformer2DModel(module.Transformer2DModel):
        def __init__(self, **sizes: Any) -> None:
            super().__init__(**(sizes | {"cross_attention_dim": width}))

    module.Transformer2DModel = Transformer2DModel


def _checked(config_file: Path, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config.json. Raises UserError for one that sd-scripts cannot have otherwise than `fixed` says."""
    config: dict[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
    for key, expected in fixed.items():
        if config.get(key, expected) != expected:
            raise UserError(f"{config_file}: {key} is {config[key]}, sd-scripts needs {expected}; set trainer: builtin")
    return config


def _check_heads(config_file: Path, widths: list[int], heads: int | list[int]) -> None:
    """`attention_head_dim` counts heads in Stable Diffusion 1.x, whatever its name says."""
    per_block = heads if isinstance(heads, list) else [heads] * len(widths)
    for width, count in zip(widths, per_block, strict=True):
        if width % count:
            raise UserError(f"{config_file}: a width of {width} cannot be split into {count} heads (attention_head_dim)")
