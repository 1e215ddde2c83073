"""A U-Net whose feed-forward layers work on a few images at a time, so that a CPU keeps their wide middle in its cache."""

from __future__ import annotations

import pipeline.compat  # noqa: F401  (before diffusers)

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock

_CACHE_BYTES = 3 * 2**19
"""Of a core's second-level cache."""

_FLOAT_BYTES = 4
_WIDENING = 8
"""A gated feed-forward layer's middle is 2 x 4 times as wide as its input."""


@contextmanager
def feed_forward_in_pieces(unet: UNet2DConditionModel, rows: int, tokens: int) -> Iterator[None]:
    """Inside the block, feed-forward layers split batches of `rows` images, `tokens` latents each; the maths is the same.

    Memory traffic, not arithmetic, is what a small U-Net's large batch waits for on a CPU. On a GPU, don't.
    """
    width = int(unet.config.block_out_channels[0])
    piece = rows_per_piece(rows, tokens * width * _WIDENING * _FLOAT_BYTES)
    blocks = [module for module in unet.modules() if isinstance(module, BasicTransformerBlock)]
    for block in blocks:
        block.set_chunk_feed_forward(piece, 0)
    try:
        yield
    finally:
        for block in blocks:
            block.set_chunk_feed_forward(None, 0)


def rows_per_piece(rows: int, row_bytes: int) -> int:
    """The largest divisor of `rows` that fits the cache; `rows` itself when that is far smaller than what would fit, or 0."""
    fitting = min(rows, _CACHE_BYTES // row_bytes)
    divisors = [piece for piece in range(1, fitting + 1) if rows % piece == 0]
    return divisors[-1] if divisors and 4 * divisors[-1] >= fitting else rows
