"""How the original code names the layers of a U-Net that diffusers names otherwise; kohya's SDXL LoRAs keep those names.

Its blocks are numbered through: a level has one for each resnet, one more on the way up, and one for the down-sampling.
"""

from __future__ import annotations

import re

_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_PLACE = re.compile(r"(?:(down|up)_blocks\.(\d+)|mid_block)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")


def original_name(path: str, layers_per_block: int, with_attention: bool) -> str:
    """Return the original name of the layer that diffusers' U-Net has at `path`; `with_attention`: its block has transformers.

    Raise ValueError for a path that no U-Net of Stable Diffusion has.
    """
    if path in _ENDS:
        return _ENDS[path]
    found = _PLACE.fullmatch(path)
    if found is None:
        raise ValueError(f"{path} is no layer of Stable Diffusion's U-Net")
    side, level, kind, number, rest = found.groups()
    place = _place(side, int(level or 0), kind, int(number), layers_per_block, with_attention)
    inner = {"resnets": _RESNET.get(rest, rest), "downsamplers": "op", "upsamplers": "conv"}.get(kind, rest)
    return f"{place}.{inner}"


def _place(side: str | None, level: int, kind: str, number: int, layers: int, with_attention: bool) -> str:
    each = layers + 1
    if side is None:
        return f"middle_block.{1 if kind == 'attentions' else 2 * number}"
    if side == "down":
        index = (level + 1) * each if kind == "downsamplers" else 1 + level * each + number
        return f"input_blocks.{index}.{int(kind == 'attentions')}"
    index = level * each + (layers if kind == "upsamplers" else number)
    inner = {"resnets": 0, "attentions": 1, "upsamplers": 1 + with_attention}[kind]
    return f"output_blocks.{index}.{inner}"
