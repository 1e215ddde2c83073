"""Repositories as the hub has them, with stand-ins for the weights: the files beside the needed ones, too."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import copy
import json
import math
import struct
from functools import lru_cache
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pipeline.diffusion.families.layouts import LAYOUTS


def weights(seed: int = 0, dtype: str = "F32", count: int = 400) -> bytes:
    """A safetensors file of one tensor."""
    size = {"F32": 4, "F16": 2}[dtype]
    header = json.dumps({"w": {"dtype": dtype, "shape": [count], "data_offsets": [0, size * count]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes([seed % 256]) * (size * count)


def weights_of(part: str, config: dict[str, Any], seed: int = 0, dtype: str = "F32") -> bytes:
    """A safetensors file with the tensors of a part of this config, each byte of which is `seed`."""
    size, header, end = {"F32": 4, "F16": 2}[dtype], {}, 0
    for name, shape in _shapes(part, json.dumps(config)).items():
        start, end = end, end + size * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes([seed % 256]) * end


@lru_cache
def _shapes(part: str, config: str) -> dict[str, list[int]]:
    values = json.loads(config)
    with torch.device("meta"):
        if part.startswith("text"):
            kind = CLIPTextModelWithProjection if part.endswith("2") else CLIPTextModel
            model: Any = kind(CLIPTextConfig(**values))
        else:
            model = (UNet2DConditionModel if part == "unet" else AutoencoderKL).from_config(values)
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


VOCABULARY = {"!": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}
_TEXT = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "projection_dim": 8,
         "vocab_size": len(VOCABULARY)}  # fmt: skip
_VAE = {"block_out_channels": [4, 4, 4, 4], "layers_per_block": 1, "norm_num_groups": 2, "sample_size": 64}
_SMALL: dict[str, dict[str, Any]] = {
    "sd1": {"unet": {"block_out_channels": [8] * 4, "norm_num_groups": 4, "cross_attention_dim": 8, "attention_head_dim": 1,
                     "sample_size": 8}, "text_encoder": _TEXT, "vae": _VAE},
    "sdxl": {"unet": {"block_out_channels": [8] * 3, "norm_num_groups": 4, "cross_attention_dim": 16, "attention_head_dim": 1,
                      "transformer_layers_per_block": 1, "addition_time_embed_dim": 4, "sample_size": 8,
                      "projection_class_embeddings_input_dim": 8 + 6 * 4},
             "text_encoder": _TEXT, "text_encoder_2": _TEXT, "vae": _VAE},
}  # fmt: skip
"""Sizes of models so small that a test can write them; the rest is as published."""


def small_configs(kind: str = "sd1") -> dict[str, dict[str, Any]]:
    found = copy.deepcopy(LAYOUTS[kind].published())
    for part, sizes in _SMALL[kind].items():
        found[part] |= sizes
    return found


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def stable_diffusion(kind: str = "sd1", **changes: dict[str, Any]) -> dict[str, bytes]:
    """{path: content} of a repository in today's layout; `changes` update the configs of its parts."""
    configs = small_configs(kind)
    index = configs["model_index"] | {
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    }
    files = {
        "model_index.json": as_bytes(index),
        "README.md": b"# a model\n",
        ".gitattributes": b"*.safetensors filter=lfs\n",
        "v1-inference.yaml": b"model: {}\n",
        "v1-5-pruned.safetensors": weights(90),
        "v1-5-pruned.ckpt": b"\x80\x02pickle",
        "safety_checker/config.json": b"{}",
        "safety_checker/model.safetensors": weights(91),
        "feature_extractor/preprocessor_config.json": b"{}",
    }
    for part, config in configs.items():
        if part == "model_index":
            continue
        name = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json",
                "tokenizer_2": "tokenizer_config.json"}.get(part, "config.json")  # fmt: skip
        files[f"{part}/{name}"] = as_bytes(config | changes.get(part, {}))
        if part.startswith("tokenizer"):
            files |= {f"{part}/vocab.json": as_bytes(VOCABULARY), f"{part}/merges.txt": b"#version: 0.2\n"}
            files[f"{part}/special_tokens_map.json"] = b"{}"
    for i, part in enumerate(part for part in configs if part in ("unet", "vae", "text_encoder", "text_encoder_2")):
        stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
        old = "pytorch_model" if part.startswith("text") else stem
        files[f"{part}/{stem}.safetensors"] = weights_of(part, configs[part], i)
        files[f"{part}/{stem}.fp16.safetensors"] = weights_of(part, configs[part], i + 10, "F16")
        files[f"{part}/{stem}.non_ema.safetensors"] = weights(i + 20)
        files[f"{part}/{old}.bin"] = b"\x80\x02pickle"
        files[f"{part}/{old}.fp16.bin"] = b"\x80\x02pickle"
    return files


def autoencoder(channels: int = 4) -> dict[str, bytes]:
    config = small_configs()["vae"] | {"latent_channels": channels}
    return {
        "config.json": as_bytes(config),
        "diffusion_pytorch_model.safetensors": weights_of("vae", config, 50),
        "diffusion_pytorch_model.bin": b"\x80\x02pickle",
        "README.md": b"# a VAE\n",
    }


def flux() -> dict[str, bytes]:
    files = {"model_index.json": as_bytes({"_class_name": "FluxPipeline"}), "ae.safetensors": weights(1)}
    for part in ("transformer", "vae", "text_encoder"):
        files |= {f"{part}/config.json": b"{}", f"{part}/diffusion_pytorch_model.safetensors": weights(2)}
    return files
