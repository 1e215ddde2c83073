"""Compile the U-Net for training, low-rank changes included, where there are enough updates."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from pipeline.core.randomness import generator
from pipeline.diffusion.compiled import compile_checked, should_compile
from pipeline.diffusion.families import DiffusionModel
from pipeline.diffusion.lora_targets import DENOISER_PREFIX, TEXT_ENCODER_PREFIX
from pipeline.train.trainable_lora import Network

_LOSS_SCALE = 1024.0
"""The mean over a batch of latents has gradients so small that float16 rounds them away; training scales its loss, too."""

_WORTH_UPDATES = 1000
"""From this many updates on, compiling (some minutes the first time) should pay for itself."""


def compile_if_worth_it(
    model: DiffusionModel, network: Network, shape: tuple[int, ...], ids: torch.Tensor, updates: int
) -> None:
    """Compile the model's U-Net for latents of `shape` [B,4,h,w] when there are any, and enough updates, and it works.

    It works when the gradients of one step are those of the plain U-Net.
    """
    if not shape[0] or not should_compile(model.device, updates >= _WORTH_UPDATES) or not network.parameters(DENOISER_PREFIX):
        return
    noise = torch.randn(shape, generator=generator(0))
    latents = noise.to(model.device, model.dtype).to(memory_format=model.memory_format)
    times = torch.arange(len(latents), device=model.device) * 100 % model.noise.train_steps
    half = model.dtype != torch.float32
    network.merge()
    with torch.no_grad(), _cast(model, half):
        condition = model.encode(ids[:1]).expand(len(latents), -1, -1).contiguous()

    def gradients() -> torch.Tensor:
        network.merge()
        # Like the tensors of a real step in all that the compiler looks at, or that step would compile again.
        given = condition.detach().requires_grad_(bool(network.parameters(TEXT_ENCODER_PREFIX)))
        with _cast(model, half):
            predicted = model.predict(latents, times, given)
        loss = predicted.float().square().mean() * _LOSS_SCALE
        found = torch.autograd.grad(loss, network.parameters(DENOISER_PREFIX))
        return torch.cat([gradient.flatten().float() for gradient in found])

    compile_checked(model.denoiser, gradients, {} if model.device.type == "cpu" else {"deterministic": True}, "train")


def _cast(model: DiffusionModel, half: bool) -> AbstractContextManager[object]:
    return torch.autocast(model.device.type, model.dtype) if half else nullcontext()
