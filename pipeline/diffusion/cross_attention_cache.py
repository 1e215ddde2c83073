"""A U-Net whose condition and time are the same in many calls: compute what depends on them alone just once, exactly.

The keys and values of cross-attention are functions of the text alone, yet a plain U-Net computes them again at each of T
steps: for a small latent they cost more than the queries. And one batch has one time, so its embedding needs one row.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch.nn.functional import scaled_dot_product_attention


class CachedCrossAttention:
    """A diffusers attention processor for one cross-attention layer of Stable Diffusion's U-Net, for one batch of texts."""

    def __init__(self, attention: Attention, states: torch.Tensor) -> None:
        self._key = _heads(attention.to_k(states), attention.heads)
        self._value = _heads(attention.to_v(states), attention.heads)

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend, [N,L,C] -> [N,L,C]; `encoder_hidden_states` is what the constructor was given, and not looked at again."""
        query = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        attended = scaled_dot_product_attention(query, self._key, self._value)
        return attn.to_out[0](attended.transpose(1, 2).flatten(2))


def _heads(states: torch.Tensor, heads: int) -> torch.Tensor:
    """Split [N,S,C] -> [N,heads,S,C/heads], contiguous."""
    return states.unflatten(-1, (heads, -1)).transpose(1, 2).contiguous()


@contextmanager
def cached_cross_attention(unet: UNet2DConditionModel, states: torch.Tensor) -> Iterator[None]:
    """Condition `unet` inside the block on `states` [N,S,d] and takes one time for all N rows."""
    original = dict(unet.attn_processors)
    processors: dict[str, Any] = dict(original)
    for name in original:
        if name.endswith("attn2.processor"):
            processors[name] = CachedCrossAttention(unet.get_submodule(name.removesuffix(".processor")), states)
    unet.set_attn_processor(processors)
    one_row = unet.time_embedding.register_forward_pre_hook(lambda _, args: (args[0][:1], *args[1:]))
    try:
        yield
    finally:
        one_row.remove()
        unet.set_attn_processor(original)
