"""The same U-Net, arranged so that a CPU computes it faster: memory traffic, not arithmetic, is what a small one waits for."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

_CACHE_BYTES = 3 * 2**19
"""Of a core's second-level cache."""

_FLOAT_BYTES = 4
_WIDENING = 8
"""A gated feed-forward layer's middle is 2 x 4 times as wide as its input."""


@contextmanager
def optimized_for_cpu(unet: UNet2DConditionModel, rows: int, tokens: int) -> Iterator[None]:
    """Make `unet` inside the block faster on batches of `rows` images, `tokens` latents each; the maths is the same."""
    row_bytes = tokens * int(unet.config.block_out_channels[0]) * _WIDENING * _FLOAT_BYTES
    with _chunked_feed_forward(unet, rows_per_piece(rows, row_bytes)), _projections_as_matrices(unet):
        yield


@contextmanager
def _chunked_feed_forward(unet: UNet2DConditionModel, piece: int) -> Iterator[None]:
    """Let feed-forward layers work on `piece` images at a time, so that their wide middle stays in the cache."""
    blocks = [module for module in unet.modules() if isinstance(module, BasicTransformerBlock)]
    for block in blocks:
        block.set_chunk_feed_forward(piece, 0)
    try:
        yield
    finally:
        for block in blocks:
            block.set_chunk_feed_forward(None, 0)


@contextmanager
def _projections_as_matrices(unet: UNet2DConditionModel) -> Iterator[None]:
    """Turn 1x1 convolutions around the transformers into matrix products, which they are, on the same weights."""
    around = [
        module for module in unet.modules() if isinstance(module, Transformer2DModel) and not module.use_linear_projection
    ]
    convolutions = [(module.proj_in, module.proj_out) for module in around]
    for module in around:
        module.proj_in, module.proj_out = _as_linear(module.proj_in), _as_linear(module.proj_out)
        module.use_linear_projection = True
    try:
        yield
    finally:
        for module, (proj_in, proj_out) in zip(around, convolutions, strict=True):
            module.proj_in, module.proj_out, module.use_linear_projection = proj_in, proj_out, False


def _as_linear(convolution: nn.Conv2d) -> nn.Linear:
    """Return a 1x1 convolution as a layer that shares its weights."""
    linear = nn.Linear(convolution.in_channels, convolution.out_channels, device="meta")
    linear.weight = nn.Parameter(convolution.weight.flatten(1), requires_grad=False)
    linear.bias = convolution.bias  # type: ignore[assignment]
    return linear


def rows_per_piece(rows: int, row_bytes: int) -> int:
    """Return the largest divisor of `rows` that fits the cache; `rows` itself when far more would fit, or none does."""
    fitting = min(rows, _CACHE_BYTES // row_bytes)
    divisors = [piece for piece in range(1, fitting + 1) if rows % piece == 0]
    return divisors[-1] if divisors and 4 * divisors[-1] >= fitting else rows
