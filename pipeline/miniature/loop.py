"""The training loop that all parts of the miniature share: AdamW, warm-up, cosine decay, EMA, a loss record."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable

import torch
from torch import nn

from pipeline.progress import Progress


def cosine_with_warmup(step: int, steps: int, warmup: int) -> float:
    """Learning-rate factor at `step` of `steps`: linear rise over `warmup` steps, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def fit(
    name: str,
    model: nn.Module,
    loss_of: Callable[[int], torch.Tensor],
    *,
    steps: int,
    lr: float,
    weight_decay: float = 1e-4,
    warmup: int = 100,
    ema: float | None = None,
    max_grad_norm: float = 1.0,
) -> tuple[nn.Module, list[float]]:
    """Minimise `loss_of(step)` over the parameters of `model`.

    Returns the model (its exponential moving average when `ema` is given) and the mean loss of every 50 steps.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.99))
    averaged = copy.deepcopy(model).eval().requires_grad_(False) if ema is not None else model
    history: list[float] = []
    window: list[float] = []
    started = time.monotonic()
    with Progress(name, steps) as progress:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = lr * cosine_with_warmup(step, steps, warmup)
            loss = loss_of(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
            optimizer.step()
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
    for kept, buffer in zip(target.buffers(), source.buffers(), strict=True):
        kept.copy_(buffer)
