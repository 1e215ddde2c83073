"""Repositories as the hub has them, with stand-ins for the weights: the files beside the needed ones, too."""

from __future__ import annotations

import json
import struct
from typing import Any

from pipeline.diffusion.families.layouts import LAYOUTS


def weights(seed: int = 0, dtype: str = "F32", count: int = 400) -> bytes:
    """A safetensors file of one tensor."""
    size = {"F32": 4, "F16": 2}[dtype]
    header = json.dumps({"w": {"dtype": dtype, "shape": [count], "data_offsets": [0, size * count]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes([seed % 256]) * (size * count)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def stable_diffusion(kind: str = "sd1", **changes: dict[str, Any]) -> dict[str, bytes]:
    """{path: content} of a repository in today's layout; `changes` update the configs of its parts."""
    configs = LAYOUTS[kind].published()
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
            files |= {f"{part}/vocab.json": b'{"a": 0}', f"{part}/merges.txt": b"#version: 0.2\n"}
            files[f"{part}/special_tokens_map.json"] = b"{}"
    for i, part in enumerate(part for part in configs if part in ("unet", "vae", "text_encoder", "text_encoder_2")):
        stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
        old = "pytorch_model" if part.startswith("text") else stem
        files[f"{part}/{stem}.safetensors"] = weights(i)
        files[f"{part}/{stem}.fp16.safetensors"] = weights(i + 10, "F16")
        files[f"{part}/{stem}.non_ema.safetensors"] = weights(i + 20)
        files[f"{part}/{old}.bin"] = b"\x80\x02pickle"
        files[f"{part}/{old}.fp16.bin"] = b"\x80\x02pickle"
    return files


def autoencoder(channels: int = 4) -> dict[str, bytes]:
    return {
        "config.json": as_bytes(LAYOUTS["sd1"].published()["vae"] | {"latent_channels": channels}),
        "diffusion_pytorch_model.safetensors": weights(50),
        "diffusion_pytorch_model.bin": b"\x80\x02pickle",
        "README.md": b"# a VAE\n",
    }


def flux() -> dict[str, bytes]:
    files = {"model_index.json": as_bytes({"_class_name": "FluxPipeline"}), "ae.safetensors": weights(1)}
    for part in ("transformer", "vae", "text_encoder"):
        files |= {f"{part}/config.json": b"{}", f"{part}/diffusion_pytorch_model.safetensors": weights(2)}
    return files
