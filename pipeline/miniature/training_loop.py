"""The training loop that all parts of the miniature share: Muon and AdamW, warm-up, cosine decay, EMA, a loss record."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from pipeline.core.progress import Progress


def cosine_with_warmup(step: int, steps: int, warmup: int) -> float:
    """Return the learning-rate factor at `step` of `steps`: linear rise over `warmup` steps, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """View a weight [out, ...] as [out, rest], sharing its memory; a channels_last one in its own order."""
    if weight.ndim == 4 and not weight.is_contiguous():
        weight = weight.permute(0, 2, 3, 1)
    return weight.view(len(weight), -1)


class MatrixOptimizer:
    """Muon for the weight matrices, AdamW for the rest (biases, norms, embeddings).

    Muon reaches the VAE's loss in a quarter of AdamW's steps. torch's knows matrices only, so convolutions are handed
    to it as views of [out, in * height * width].
    """

    def __init__(self, model: nn.Module, lr: float, weight_decay: float) -> None:
        embeddings = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
        trained = [p for p in model.parameters() if p.requires_grad]
        self.weights = [p for p in trained if p.ndim >= 2 and id(p) not in embeddings]
        chosen = {id(p) for p in self.weights}
        rest = [p for p in trained if id(p) not in chosen]
        self.matrices = [nn.Parameter(as_matrix(p.detach())) for p in self.weights]
        self.optimizers: list[torch.optim.Optimizer] = []
        if self.matrices:
            self.optimizers.append(
                torch.optim.Muon(self.matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        if rest:
            self.optimizers.append(torch.optim.AdamW(rest, lr=lr, weight_decay=0.0, betas=(0.9, 0.99)))

    def step(self, lr: float) -> None:
        """Make one update with learning rate `lr` from the gradients that the model's parameters hold."""
        for matrix, weight in zip(self.matrices, self.weights, strict=True):
            gradient = weight.grad
            matrix.grad = None if gradient is None else _as_matrix_of(gradient, weight)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()


def _as_matrix_of(gradient: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if weight.ndim == 4 and not weight.is_contiguous():
        gradient = gradient.permute(0, 2, 3, 1)
    return gradient.reshape(len(weight), -1)


Model = TypeVar("Model", bound=nn.Module)


def fit(
    name: str,
    model: Model,
    loss_of: Callable[[torch.Tensor, torch.Generator], torch.Tensor],
    count: int,
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    weight_decay: float = 1e-4,
    warmup: int = 100,
    horizon: int | None = None,
    cooldown: int = 0,
    ema: float | None = None,
) -> tuple[Model, list[float]]:
    """Minimise `loss_of(rows, generator)` over the parameters of `model`; rows are `batch` of `count`, drawn at every step.

    The learning rate follows a cosine towards `horizon` (by default `steps`), and falls linearly to zero over the last
    `cooldown` steps, so that a run can end before its horizon. Return the model (its exponential moving average when
    `ema` is given) and the mean loss of every 50 steps.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(seed)
    optimizer = MatrixOptimizer(model, lr, weight_decay)
    averaged = copy.deepcopy(model).eval().requires_grad_(False) if ema is not None else model
    history: list[float] = []
    window: list[float] = []
    started = time.monotonic()
    with Progress(name, steps) as progress:
        for step in range(steps):
            loss = loss_of(torch.randint(count, (batch,), generator=generator), generator)
            model.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            falling = min(1.0, (steps - step) / cooldown) if cooldown else 1.0
            optimizer.step(lr * cosine_with_warmup(step, horizon or steps, warmup) * falling)
            if ema is not None:
                _average(averaged, model, min(ema, (1 + step) / (10 + step)))
            window.append(float(loss.detach()))
            if len(window) == 50 or step + 1 == steps:
                history.append(sum(window) / len(window))
                window.clear()
                progress.note(f"loss {history[-1]:.5f}, {(time.monotonic() - started) / (step + 1):.2f} s/step")
            progress.advance()
    return averaged, history


@torch.no_grad()
def _average(target: nn.Module, source: nn.Module, decay: float) -> None:
    for average, value in zip(target.parameters(), source.parameters(), strict=True):
        average.lerp_(value, 1.0 - decay)
    for copied, buffer in zip(target.buffers(), source.buffers(), strict=True):
        copied.copy_(buffer)
