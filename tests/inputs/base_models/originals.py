"""Write a model of diffusers' as one file in the original key naming: CompVis's for 1.x, Stability's for XL.

Written from the naming itself, apart from the converters that the tests compare with each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]

_RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
           "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}  # fmt: skip
_ENDS = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
         "conv_norm_out": "out.0", "conv_out": "out.2", "add_embedding.linear_1": "label_emb.0.0",
         "add_embedding.linear_2": "label_emb.0.2"}  # fmt: skip
_OPEN_CLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
              "mlp.fc2": "mlp.c_proj"}  # fmt: skip


def unet_keys(tensors: Tensors, layers: int = 2) -> Tensors:
    """Resnets count on through input_blocks, where a downsampler is a block of its own; an upsampler is in its resnet's."""
    with_attention = {name.rsplit(".attentions.", 1)[0] for name in tensors if ".attentions." in name}
    return {unet_key(name, layers, with_attention): tensor for name, tensor in tensors.items()}


def unet_key(name: str, layers: int, with_attention: set[str]) -> str:
    for start, new in _ENDS.items():
        if name.startswith(f"{start}."):
            return name.replace(start, new, 1)
    block, kind, rest = re.fullmatch(r"((?:down|up)_blocks\.\d+|mid_block)\.(\w+)\.(.*)", name).groups()  # type: ignore[union-attr]
    number, _, inner = rest.partition(".")
    place, attention = position(block, kind, int(number), layers, block in with_attention)
    if kind == "resnets":
        module, _, leaf = inner.partition(".")
        return f"{place}.{_RESNET[module]}.{leaf}"
    if kind == "attentions":
        return f"{place}.{inner}"
    return f"{place}.{'op' if kind == 'downsamplers' else 'conv'}.{inner.partition('.')[2]}"


def position(block: str, kind: str, number: int, layers: int, attention: bool) -> tuple[str, bool]:
    """Where in input_blocks, middle_block or output_blocks a module of diffusers' lies."""
    if block == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else 2 * number}", attention
    i = int(block.rpartition(".")[2])
    each = layers + 1
    if block.startswith("down"):
        at = (i + 1) * each if kind == "downsamplers" else 1 + i * each + number
        return f"input_blocks.{at}.{int(kind == 'attentions')}", attention
    at = i * each + (layers if kind == "upsamplers" else number)
    inner = {"resnets": 0, "attentions": 1, "upsamplers": 1 + attention}[kind]
    return f"output_blocks.{at}.{inner}", attention


def vae_keys(tensors: Tensors, blocks: int = 4) -> Tensors:
    return {vae_key(name, blocks): as_convolution(name, tensor) for name, tensor in tensors.items()}


def vae_key(name: str, blocks: int) -> str:
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda found: f"up.{blocks - 1 - int(found[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda found: f"up.{blocks - 1 - int(found[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    for new, old in {"mid.attn_1.norm": "mid_block.attentions.0.group_norm", "mid.attn_1.q": "mid_block.attentions.0.to_q",
                     "mid.attn_1.k": "mid_block.attentions.0.to_k", "mid.attn_1.v": "mid_block.attentions.0.to_v",
                     "mid.attn_1.proj_out": "mid_block.attentions.0.to_out.0", "nin_shortcut": "conv_shortcut",
                     "norm_out": "conv_norm_out"}.items():  # fmt: skip
        name = name.replace(old, new)
    return name


def as_convolution(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The original VAE's attention is made of 1x1 convolutions."""
    return tensor[:, :, None, None] if ".attentions." in name and tensor.ndim == 2 else tensor


def open_clip_keys(tensors: Tensors) -> Tensors:
    """The second text encoder of XL, with query, key and value in one tensor and the projection transposed."""
    found: Tensors = {}
    for name, tensor in tensors.items():
        layer = re.fullmatch(r"text_model\.encoder\.layers\.(\d+)\.(.*)\.(weight|bias)", name)
        if name == "text_projection.weight":
            found["text_projection"] = tensor.T.contiguous()
        elif layer is None:
            ends = {"text_model.embeddings.position_embedding.weight": "positional_embedding"}
            short = name.replace("text_model.embeddings.", "").replace("text_model.final_layer_norm", "ln_final")
            found[ends.get(name, short)] = tensor
        elif layer[2] in _OPEN_CLIP:
            found[f"transformer.resblocks.{layer[1]}.{_OPEN_CLIP[layer[2]]}.{layer[3]}"] = tensor
        elif layer[2] == "self_attn.q_proj":
            parts = [tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            found[f"transformer.resblocks.{layer[1]}.attn.in_proj_{layer[3]}"] = torch.cat(parts)
    return found


def prefixed(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def sd1_file(unet: Tensors, vae: Tensors, text_encoder: Tensors) -> Tensors:
    """The tensors of a single-file Stable Diffusion 1.x, with the buffers that the published ones carry."""
    return {
        **prefixed("model.diffusion_model.", unet_keys(unet)),
        **prefixed("first_stage_model.", vae_keys(vae)),
        **prefixed("cond_stage_model.transformer.", text_encoder),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "alphas_cumprod": torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0),
        "model_ema.decay": torch.tensor(0.9999),
    }


def sdxl_file(unet: Tensors, vae: Tensors, text_encoder: Tensors, text_encoder_2: Tensors) -> Tensors:
    return {
        **prefixed("model.diffusion_model.", unet_keys(unet)),
        **prefixed("first_stage_model.", vae_keys(vae)),
        **prefixed("conditioner.embedders.0.transformer.", text_encoder),
        **prefixed("conditioner.embedders.1.model.", open_clip_keys(text_encoder_2)),
        "conditioner.embedders.1.model.logit_scale": torch.tensor(4.6),
    }
