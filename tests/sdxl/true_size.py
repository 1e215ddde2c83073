"""Stable Diffusion 1.5 and SDXL at their true size: real configs, random weights in bfloat16, a small tokenizer."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import gc
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pipeline.diffusion.families.layouts import LAYOUTS
from pipeline.miniature.tokenizer import train_tokenizer
from tiny import CAPTIONS

PARAMETERS = {"sd1": 1_066_235_307, "sdxl": 3_468_837_867}


def write_true_size(folder: Path, family: str, seed: int = 0) -> Path:
    """Write the model ("sd1" or "sdxl") to `folder` part by part, so that no more than one part is in memory."""
    configs = LAYOUTS[family].published()
    chance = torch.Generator().manual_seed(seed)
    for name in ("tokenizer", "tokenizer_2"):
        if name in configs["model_index"]:
            tokenizer = train_tokenizer(CAPTIONS, folder / name, merges=40)
            if name == "tokenizer_2":
                tokenizer.pad_token = "!"
                tokenizer.save_pretrained(folder / name)
    for name in ("text_encoder", "text_encoder_2", "unet", "vae"):
        if name in configs["model_index"]:
            _random(configs["model_index"][name][1], configs[name], chance).save_pretrained(folder / name)
            gc.collect()
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(configs["scheduler"]))
    (folder / "model_index.json").write_text(json.dumps(configs["model_index"]))
    return folder


def _random(kind: str, config: dict[str, Any], chance: torch.Generator) -> Any:
    """A part of class `kind`, never in float32: matrices are noise of 0.02, norms are the identity, biases 0."""
    with torch.device("meta"):
        part = _empty(kind, config)
    part = nn.Module.to(part, torch.bfloat16).to_empty(device="cpu")
    norms = tuple(f"{name}.weight" for name, module in part.named_modules() if isinstance(module, nn.LayerNorm | nn.GroupNorm))
    with torch.no_grad():
        for name, weight in part.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, 0.02, generator=chance)
            else:
                weight.fill_(1.0 if name in norms else 0.0)
    return part


def _empty(kind: str, config: dict[str, Any]) -> Any:
    if kind == "UNet2DConditionModel":
        return UNet2DConditionModel.from_config(config)
    if kind == "AutoencoderKL":
        return AutoencoderKL.from_config(config)
    return {"CLIPTextModel": CLIPTextModel, "CLIPTextModelWithProjection": CLIPTextModelWithProjection}[kind](
        CLIPTextConfig.from_dict(config)
    )
