"""Stable Diffusion 1.5 at its true size, with random weights: what it draws is noise, how long it takes is the same."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipeline.core.randomness import generator
from pipeline.diffusion.families import FAMILIES
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.noise_schedule import BETA_END, BETA_START
from pipeline.miniature.build import MODEL_INDEX
from pipeline.miniature.tokenizer import train_tokenizer

CAPTION = "a round red creature with two blue eyes, a curly tail and wings, ultra-detailed"

UNET = {
    "sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8,
}  # fmt: skip
VAE = {
    "sample_size": 512, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}  # fmt: skip
TEXT = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "projection_dim": 768,
}  # fmt: skip


def new_tokenizer() -> CLIPTokenizer:
    """A small vocabulary of CLIP's kind: token ids only pick rows of random weights."""
    with TemporaryDirectory() as folder:
        return train_tokenizer([CAPTION], Path(folder), merges=40)


def new_parts() -> tuple[CLIPTextModel, AutoencoderKL, UNet2DConditionModel]:
    """Text encoder, VAE and U-Net on torch's default device, frozen; random where that device holds data."""
    parts = (CLIPTextModel(CLIPTextConfig(**TEXT)), AutoencoderKL(**VAE), UNet2DConditionModel(**UNET))
    for part in parts:
        part.eval().requires_grad_(False)
    return parts


def random_sd15(seed: int = 0) -> StableDiffusion:
    """In float32 on the CPU: 4.3 GB."""
    with torch.device("meta"):
        text_encoder, vae, unet = new_parts()
    for part in (text_encoder, vae, unet):
        part.to_empty(device="cpu")
        fill(part, generator(seed))
    positions = text_encoder.text_model.embeddings.position_ids
    positions.copy_(torch.arange(positions.shape[-1]))
    return StableDiffusion(new_tokenizer(), text_encoder, vae, unet, family=FAMILIES["sd1"])


@torch.no_grad()
def fill(module: nn.Module, chance: torch.Generator) -> None:
    """Weights that keep the variance of what passes through, from one block of noise: a billion numbers take long to draw."""
    block = torch.randn(2**20, generator=chance)
    for name, parameter in module.named_parameters():
        if parameter.ndim < 2:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        flat = parameter.view(-1)
        for start in range(0, len(flat), len(block)):
            piece = flat[start : start + len(block)]
            piece.copy_(block[: len(piece)])
        parameter.mul_(parameter[0].numel() ** -0.5)


def write_sd15(folder: Path) -> Path:
    """The same as a diffusers folder, written once."""
    index = folder / "model_index.json"
    if not index.is_file():
        model = random_sd15()
        model.tokenizer.save_pretrained(folder / "tokenizer")
        parts: dict[str, nn.Module] = {"text_encoder": model.text_encoder, "vae": model.vae, "unet": model.unet}
        for name, part in parts.items():
            part.save_pretrained(folder / name)  # type: ignore[operator]
        EulerAncestralDiscreteScheduler(
            beta_start=BETA_START, beta_end=BETA_END, beta_schedule="scaled_linear", steps_offset=1
        ).save_pretrained(folder / "scheduler")
        index.write_text(json.dumps(MODEL_INDEX))
    return folder
