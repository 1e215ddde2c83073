"""Estimates of the memory that training and sampling need at 512x512: counted on meta tensors, no GPU asked.

Counted are weights, what the optimizer keeps, and every tensor that is alive at the peak. Not counted are the libraries'
workspaces, the GPU's context (0.3 to 0.6 GB) and fragments: `ALLOWANCE` stands for them.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import torch

from benchmarks.paper_scale.counting import LiveBytes, fused_attention, parameter_bytes
from benchmarks.paper_scale.models import new_parts, new_tokenizer
from pipeline.core.randomness import generator
from pipeline.diffusion.families import FAMILIES
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.lora_targets import target_modules
from pipeline.diffusion.text import CHUNK, WINDOW
from pipeline.sample.sampler import DECODE_PIXELS
from pipeline.train.trainable_lora import attached, initial

ALLOWANCE = 1.2e9
SIDE, RANK, ALPHA = 512, 32, 8.0


def meta_model(dtype: torch.dtype) -> StableDiffusion:
    """Stable Diffusion 1.5 without data."""
    with torch.device("meta"):
        parts = new_parts()
    for part in parts:
        torch.nn.Module.to(part, dtype=dtype)
    return StableDiffusion(new_tokenizer(), *parts, family=FAMILIES["sd1"])


def sampling_bytes(dtype: torch.dtype, batch: int, tokens: int = 227) -> int:
    """Peak of sampling: all weights, the U-Net on both branches of `batch` images while other latents are decoded."""
    model = meta_model(dtype)
    weights = sum(parameter_bytes(part) for part in (model.text_encoder, model.vae, model.unet))
    cell = SIDE // 8
    with torch.inference_mode(), fused_attention():
        with LiveBytes() as unet:
            unet.know((*model.unet.parameters(), *model.unet.buffers()))
            states = torch.empty(2 * batch, tokens, 768, dtype=dtype, device="meta")
            latents = torch.empty(2 * batch, 4, cell, cell, dtype=dtype, device="meta")
            model.predict(latents, torch.tensor(500.0, device="meta"), states)
        with LiveBytes() as decoder:
            decoder.know((*model.vae.parameters(), *model.vae.buffers()))
            rows = min(batch, max(1, DECODE_PIXELS // SIDE**2))
            model.vae.decode(torch.empty(rows, 4, cell, cell, dtype=dtype, device="meta"), return_dict=False)
    return weights + unet.peak + decoder.peak


def training_bytes(dtype: torch.dtype, batch: int, checkpointing: bool, tokens: int = 225, side: int = SIDE) -> int:
    """Peak of the builtin trainer: weights, LoRA, its gradients and AdamW's two moments, and a step's activations."""
    model = meta_model(dtype)
    if checkpointing:
        model.unet.enable_gradient_checkpointing()
    parts = (model.text_encoder, model.vae, model.unet)
    modules = target_modules(model)
    start = initial(modules, RANK, ALPHA, generator(0))
    with fused_attention(), LiveBytes() as step:
        step.know(tensor for part in parts for tensor in (*part.parameters(), *part.buffers()))
        with attached(modules, start) as network:
            network.merge()
            ids = torch.zeros(batch, tokens // CHUNK, WINDOW, dtype=torch.int64, device="meta")
            latents = torch.empty(batch, 4, side // 8, side // 8, dtype=dtype, device="meta")
            times = torch.zeros(batch, dtype=torch.int64, device="meta")
            noise = model.predict(latents, times, model.encode(ids))
            (noise.float() - latents.float()).square().mean().backward()
        trained = sum(parameter.numel() for parameter in network.parameters())
    moments = 2 * 4 * trained
    return sum(parameter_bytes(part) for part in parts) + step.peak + moments


def estimates() -> dict[str, float]:
    """{what: GB, with the allowance}."""
    half, full = torch.float16, torch.float32
    found = {
        "sampling, fp16, batch 16": sampling_bytes(half, 16),
        "sampling, fp16, batch 8": sampling_bytes(half, 8),
        "sampling, fp32, batch 8": sampling_bytes(full, 8),
        "training (builtin), fp16, batch 6": training_bytes(half, 6, checkpointing=False),
        "training (builtin), fp16, batch 6, gradient_checkpointing": training_bytes(half, 6, checkpointing=True),
        "training (builtin), fp32, batch 6": training_bytes(full, 6, checkpointing=False),
        "training (builtin), fp32, batch 6, gradient_checkpointing": training_bytes(full, 6, checkpointing=True),
    }
    return {name: (count + ALLOWANCE) / 1e9 for name, count in found.items()}
