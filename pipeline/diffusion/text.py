"""Prompts -> the text condition, exactly as sd-scripts' training encodes captions (and so also at sampling).

A prompt longer than one window is cut into chunks of 75 tokens, each between its own BOS and EOS; the encoded chunks
are joined to BOS, 75 states a chunk, EOS: 77, 152 or 227 states. The number of chunks is fixed by `max_token_length`,
not by the prompt. There is no weighting syntax: brackets are literal text.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

from collections.abc import Sequence

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.core.errors import UserError

WINDOW = 77
CHUNK = WINDOW - 2
"""Tokens of a window between its begin and end marks."""


def tokenize(tokenizer: CLIPTokenizer, prompts: Sequence[str], max_token_length: int = CHUNK) -> torch.Tensor:
    """Turn prompts into token ids [N, max_token_length / 75, 77] int64; what does not fit is cut off, EOS is kept.

    Raise ValueError unless `max_token_length` is a multiple of 75.
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
    """Put an EOS at the end of each full window [N,C,77] and behind the BOS of each empty one, as sd-scripts does."""
    full = (windows[..., -2] != eos) & (windows[..., -2] != pad)
    windows[..., -1][full] = eos
    windows[..., 1][windows[..., 1] == pad] = eos


def encode(text_encoder: CLIPTextModel, ids: torch.Tensor, clip_skip: int = 2) -> torch.Tensor:
    """Encode token ids [N,C,77] -> states [N, 75 C + 2, d] in the text encoder's dtype.

    `clip_skip` counts as kohya's: 1 is the last layer, 2 the one before it (diffusers calls that 1), each followed by
    the final layer norm. Differentiable in the text encoder's parameters. Raise UserError when there is no such layer.
    """
    layers = text_encoder.config.num_hidden_layers
    if not 1 <= clip_skip <= layers:
        raise UserError(f"clip_skip must be 1 to {layers}, the text encoder's layers, got {clip_skip} (params.yaml)")
    output = text_encoder(windows(text_encoder, ids), output_hidden_states=True)
    states = text_encoder.text_model.final_layer_norm(output.hidden_states[-clip_skip])
    return join(states, ids.shape[1])


def windows(text_encoder: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """Turn [N,C,77] into [N C, 77], where the text encoder is."""
    return ids.reshape(-1, WINDOW).to(text_encoder.device)


def join(states: torch.Tensor, chunks: int) -> torch.Tensor:
    """Join states of each window [N C, 77, d] -> [N, 75 C + 2, d]: the first BOS, what is between BOS and EOS, the last EOS."""
    states = states.unflatten(0, (-1, chunks))
    return torch.cat([states[:, 0, :1], states[:, :, 1:-1].flatten(1, 2), states[:, -1, -1:]], dim=1)
