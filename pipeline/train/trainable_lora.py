"""Trainable low-rank changes of a frozen model's layers, computed in whichever of two ways is cheaper for a layer.

A side path (x down^T) up^T next to the frozen product has fewer operations where layers are wide and keeps, in half
precision, changes smaller than the rounding of W. Narrow layers wait for the start of each small product instead: there
W + scale * up @ down is built once a step for all layers of one shape, in one batched product, and each layer is one product.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pipeline.diffusion.lora import LowRank
from pipeline.diffusion.lora_targets import TEXT_ENCODER_PREFIX

_NARROW = 8
"""A layer is narrow when W has at most this many times as many entries as down and up together."""


class SidePath(torch.autograd.Function):
    """y = x W^T + b + scale * (x down^T) up^T for x [n,in], with gradients for x, down and up only."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
        down: torch.Tensor, up: torch.Tensor, scale: float,
    ) -> torch.Tensor:  # fmt: skip
        inner = x @ down.t()
        ctx.save_for_backward(x, inner, weight, down, up)
        ctx.scale = scale
        return functional.linear(x, weight, bias).addmm_(inner, up.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, inner, weight, down, up = ctx.saved_tensors
        gradient = gradients[0]
        into_inner = (gradient @ up).mul_(ctx.scale)
        into_up = (gradient.t() @ inner).mul_(ctx.scale)
        into_down = into_inner.t() @ x
        into_x = (gradient @ weight).addmm_(into_inner, down) if ctx.needs_input_grad[0] else None
        return into_x, None, None, into_down, into_up, None


class Stack:
    """G layers of one shape, rank and scale: W [G,out,in] frozen, down [G,r,in] and up [G,out,r] trained in float32."""

    def __init__(self, weights: list[torch.Tensor], starts: list[LowRank]) -> None:
        device = weights[0].device
        downs, ups = (
            [half.flatten(1).float() for half in halves] for halves in zip(*(start[:2] for start in starts), strict=True)
        )
        self.down, self.up = nn.Parameter(torch.stack(downs).to(device)), nn.Parameter(torch.stack(ups).to(device))
        self.alpha, self.scale = starts[0].alpha, starts[0].scale
        entries, halves = weights[0].numel(), self.down[0].numel() + self.up[0].numel()
        self._merges = weights[0].dtype == torch.float32 and entries <= _NARROW * halves
        base = [weight.detach().flatten(1) for weight in weights]
        # Only merging needs the weights in one piece: a copy of all layers would double a large model's memory.
        self._base = [torch.stack(base)] if self._merges else base
        self._rows: list[tuple[torch.Tensor, ...]] = []

    def merge(self) -> None:
        """Build what the coming forward pass uses of each layer, once for each change of down and up."""
        if self._merges:
            self._rows = [(weight,) for weight in torch.baddbmm(self._base[0], self.up, self.down, alpha=self.scale).unbind()]
        else:
            halves = (half.to(self._base[0].dtype).unbind() for half in (self.down, self.up))
            self._rows = list(zip(self._base, *halves, strict=True))

    def linear(self, row: int, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Compute [...,in] -> [...,out] through layer `row`."""
        if self._merges:
            return functional.linear(x, self._rows[row][0], bias)
        weight, down, up = self._rows[row]
        y = SidePath.apply(x.reshape(-1, x.shape[-1]).to(weight.dtype), weight, bias, down, up, self.scale)
        return y.view(*x.shape[:-1], -1)


class LoraLayer:
    """One layer's forward through its row of a stack."""

    def __init__(self, layer: nn.Module, stack: Stack, row: int) -> None:
        self._stack, self._row = stack, row
        self._bias = None if layer.bias is None else layer.get_parameter("bias")
        self._kernel = tuple(layer.get_parameter("weight").shape[2:])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute [...,in] -> [...,out]; for a 1x1 convolution [B,in,H,W] -> [B,out,H,W]."""
        if self._kernel:
            return self._stack.linear(self._row, x.permute(0, 2, 3, 1), self._bias).permute(0, 3, 1, 2)
        return self._stack.linear(self._row, x, self._bias)

    def state(self) -> LowRank:
        """Return the weights as they go into a file: [r,in,1,1] and [out,r,1,1] for a convolution."""
        down, up = (half[self._row].detach() for half in (self._stack.down, self._stack.up))
        down, up = (half.reshape(*half.shape, *self._kernel).clone() for half in (down, up))
        return LowRank(down, up, self._stack.alpha)


class Network:
    """The low-rank changes of all layers of a model."""

    def __init__(self, modules: Mapping[str, nn.Module], start: Mapping[str, LowRank]) -> None:
        members: dict[tuple[object, ...], list[str]] = {}
        for name, module in modules.items():
            shape = module.get_parameter("weight").shape[:2]
            members.setdefault((_part(name), *shape, start[name].rank, start[name].alpha), []).append(name)
        self.layers: dict[str, LoraLayer] = {}
        self._stacks: list[tuple[str, Stack]] = []
        for names in members.values():
            stack = Stack([modules[name].get_parameter("weight") for name in names], [start[name] for name in names])
            self._stacks.append((names[0], stack))
            self.layers.update({name: LoraLayer(modules[name], stack, row) for row, name in enumerate(names)})

    def parameters(self, prefix: str = "") -> list[nn.Parameter]:
        """Return down and up of each stack whose layers' names begin so."""
        return [half for name, stack in self._stacks if name.startswith(prefix) for half in (stack.down, stack.up)]

    def merge(self) -> None:
        """Prepare for a forward pass; to be called before each."""
        for _, stack in self._stacks:
            stack.merge()


def _part(name: str) -> str:
    """Name the part whose layers share a stack: text layers that clip skip leaves out get no gradient and no weight decay."""
    text_layer = re.match(rf"{TEXT_ENCODER_PREFIX}(\d?_.*?_\d+)?", name)
    return text_layer.group() if text_layer else "unet"


def initial(modules: Mapping[str, nn.Module], rank: int, alpha: float, generator: torch.Generator) -> dict[str, LowRank]:
    """Return sd-scripts' start: down uniform in +-1/sqrt(in) (Kaiming, a = sqrt 5), up zero."""
    start = {}
    for name, layer in modules.items():
        outputs, inputs, *kernel = layer.get_parameter("weight").shape
        bound = 1 / math.sqrt(inputs)
        down = torch.empty(rank, inputs, *kernel).uniform_(-bound, bound, generator=generator)
        start[name] = LowRank(down, torch.zeros(outputs, rank, *kernel), alpha)
    return start


@contextmanager
def attached(modules: Mapping[str, nn.Module], start: Mapping[str, LowRank]) -> Iterator[Network]:
    """Give the modules trainable low-rank changes within the block; the modules are as before after it."""
    network = Network(modules, start)
    for name, module in modules.items():
        module.forward = network.layers[name]
    try:
        yield network
    finally:
        for module in modules.values():
            del module.forward
