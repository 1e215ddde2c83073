"""Prompts -> the text condition, exactly as sd-scripts' training encodes captions (and so also at sampling).

A prompt longer than one window is cut into chunks of 75 tokens, each between its own BOS and EOS; the encoded chunks
are joined to BOS, 75 states a chunk, EOS: 77, 152 or 227 states. The number of chunks is fixed by `max_token_length`,
not by the prompt. There is no weighting syntax: brackets are literal text.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

from collections.abc import Sequence

import torch
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline.core.errors import UserError

WINDOW = 77
CHUNK = WINDOW - 2
XL_CLIP_SKIP = 2
"""SDXL was trained on the last layer but one of both text encoders, and sd-scripts has no other for it."""


def tokenize(tokenizer: CLIPTokenizer, prompts: Sequence[str], max_token_length: int = CHUNK) -> torch.Tensor:
    """Prompts -> token ids [N, max_token_length / 75, 77] int64; what does not fit is cut off, EOS is kept.

    Raises ValueError unless `max_token_length` is a multiple of 75.
    """
    if max_token_length <= 0 or max_token_length % CHUNK:
        raise ValueError(f"max_token_length must be a multiple of {CHUNK}, got {max_token_length}")
    ids = tokenizer(
        list(prompts), padding="max_length", truncation=True, max_length=max_token_length + 2, return_tensors="pt"
    ).input_ids
    first, last = ids[:, :1], ids[:, -1:]
    chunks = [torch.cat([first, ids[:, i : i + CHUNK], last], dim=1) for i in range(1, max_token_length + 1, CHUNK)]
    windows = torch.stack(chunks, dim=1)
    if len(chunks) > 1 and tokenizer.pad_token_id != tokenizer.eos_token_id:
        _end_each_window(windows, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return windows


def _end_each_window(windows: torch.Tensor, eos: int, pad: int) -> None:
    """In place: an EOS at the end of each full window [N,C,77] and behind the BOS of each empty one, as sd-scripts does."""
    full = (windows[..., -2] != eos) & (windows[..., -2] != pad)
    windows[..., -1][full] = eos
    windows[..., 1][windows[..., 1] == pad] = eos


def encode(text_encoder: CLIPTextModel, ids: torch.Tensor, clip_skip: int = 2) -> torch.Tensor:
    """Token ids [N,C,77] -> states [N, 75 C + 2, d] in the text encoder's dtype.

    `clip_skip` counts as kohya's: 1 is the last layer, 2 the one before it (diffusers calls that 1), each followed by
    the final layer norm. Differentiable in the text encoder's parameters. Raises UserError when there is no such layer.
    """
    layers = text_encoder.config.num_hidden_layers
    if not 1 <= clip_skip <= layers:
        raise UserError(f"clip_skip must be 1 to {layers}, the text encoder's layers, got {clip_skip} (params.yaml)")
    output = text_encoder(_windows(text_encoder, ids), output_hidden_states=True)
    states = text_encoder.text_model.final_layer_norm(output.hidden_states[-clip_skip])
    return _join(states, ids.shape[1])


def encode_xl(first: CLIPTextModel, second: CLIPTextModelWithProjection, ids: torch.Tensor) -> torch.Tensor:
    """Token ids of both tokenizers [N,2,C,77] -> SDXL's condition [N, 75 C + 3, d1 + d2], to be taken apart by `split_xl`.

    The states are those of both encoders' last layer but one, without a final layer norm, side by side. The last row is the
    second encoder's projected state at the first chunk's EOS, filled up with zeros.
    """
    one = first(_windows(first, ids[:, 0]), output_hidden_states=True)
    two = second(_windows(second, ids[:, 1]), output_hidden_states=True)
    chunks = ids.shape[2]
    states = torch.cat([_join(output.hidden_states[-XL_CLIP_SKIP], chunks) for output in (one, two)], dim=-1)
    pooled = two.text_embeds[::chunks]
    row = functional.pad(pooled, (0, states.shape[-1] - pooled.shape[-1]))
    return torch.cat([states, row[:, None].to(states.dtype)], dim=1)


def split_xl(condition: torch.Tensor, pooled_width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """SDXL's condition [N,S+1,d] -> states [N,S,d] and pooled embedding [N,pooled_width]."""
    return condition[:, :-1], condition[:, -1, :pooled_width]


def check_clip_skip_xl(clip_skip: int) -> None:
    """Raise UserError for what SDXL does not have."""
    if clip_skip != XL_CLIP_SKIP:
        raise UserError(
            f"clip_skip must be {XL_CLIP_SKIP} for an SDXL model, which always uses the last layer but one of both its "
            f"text encoders, got {clip_skip} (params.yaml)"
        )


def _windows(text_encoder: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """[N,C,77] -> [N C, 77] where the text encoder is."""
    return ids.reshape(-1, WINDOW).to(text_encoder.device)


def _join(states: torch.Tensor, chunks: int) -> torch.Tensor:
    """States of each window [N C, 77, d] -> [N, 75 C + 2, d]: the first BOS, what lies between BOS and EOS, the last EOS."""
    states = states.unflatten(0, (-1, chunks))
    return torch.cat([states[:, 0, :1], states[:, :, 1:-1].flatten(1, 2), states[:, -1, -1:]], dim=1)
