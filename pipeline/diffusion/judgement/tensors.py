"""Compare the names and shapes of a part's weights with those that its config promises, by their headers; no weight is read."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.utils import logging
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline.core.tensors import TensorInfo, read_header, read_metadata
from pipeline.diffusion.families.layout import Config
from pipeline.diffusion.judgement.metadata import marker_fault, metadata_fault
from pipeline.diffusion.text import WINDOW, tokenize

_KINDS: Mapping[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
_DTYPES = ("F32", "F16", "BF16")
_OLD_VAE_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_ATTENTION = re.compile(r"(.+\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")
_UNREAD = re.compile(r"(text_model\.)?embeddings\.position_ids")
"""A buffer that older versions of transformers wrote: 0 to 76, and so they are read no more."""


def tensor_faults(part: str, config: Config, files: list[Path]) -> Iterator[str]:
    """Yield what is wrong with the weights in `files`, of which `config` is the part's."""
    try:
        expected = promised(part, config)
    except Exception as error:
        yield f"its {part}/config.json describes no {part} that can be built ({_first_line(error)})"
        return
    found: dict[str, TensorInfo] = {}
    for file in files:
        if said := metadata_fault(read_metadata(file)):
            yield f"{part}/{file.name} is {said}"
        found |= read_header(file)
    found = {_current_name(part, name): info for name, info in found.items() if not _UNREAD.fullmatch(name)}
    yield from (f"the {part} {fault}" for fault in _differences(expected, found))


def promised(part: str, config: Config) -> dict[str, tuple[int, ...]]:
    """Return {name: shape} of the tensors of a part with this config, without memory for them."""
    return {name: tuple(tensor.shape) for name, tensor in built(part, config).state_dict().items()}


def built(part: str, config: Config) -> nn.Module:
    """Return a part with this config on the meta device."""
    kind, before = _KINDS[part], logging.get_verbosity()
    plain = {key: value for key, value in config.items() if not key.startswith("_")}
    logging.set_verbosity_error()
    try:
        with torch.device("meta"):
            model: nn.Module = kind(CLIPTextConfig(**plain)) if part.startswith("text") else kind.from_config(plain)
    finally:
        logging.set_verbosity(before)
    return model


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _current_name(part: str, name: str) -> str:
    """Return how the library calls a tensor today: the first VAEs name the layers of their attention otherwise."""
    if part == "vae" and (found := _OLD_ATTENTION.fullmatch(name)):
        return f"{found[1]}.{_OLD_VAE_NAMES[found[2]]}.{found[3]}"
    return name


def _differences(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, TensorInfo]) -> Iterator[str]:
    if missing := sorted(expected.keys() - found.keys()):
        yield f"lacks {_some(missing)}, which its config promises"
    if more := sorted(found.keys() - expected.keys()):
        yield f"has {_some(more)}, of which its config says nothing" + (f": {said}" if (said := marker_fault(more)) else "")
    for name in sorted(expected.keys() & found.keys()):
        if found[name].shape != expected[name]:
            yield f"has {name} of the shape {list(found[name].shape)}, and its config promises {list(expected[name])}"
            return
    if odd := sorted(name for name, info in found.items() if info.dtype not in _DTYPES):
        yield f"has {odd[0]} in {found[odd[0]].dtype}, not in {', '.join(_DTYPES)}"


def _some(names: list[str]) -> str:
    return f"the tensor {names[0]}" if len(names) == 1 else f"{len(names)} tensors, {names[0]} first"


def tokenizer_fault(folder: Path, vocabulary: int, pad_token: int | None) -> str | None:
    """Tell why prompts would become other token ids than the text encoder was trained on; None when they do not.

    `vocabulary`: how many tokens the text encoder knows; `pad_token`: the id that must fill prompts up, None for any.
    """
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder))
        tokenize(tokenizer, ["", "a"])
    except Exception as error:
        return f"its {folder.name} cannot be read ({_first_line(error)})"
    if (most := max(tokenizer.get_vocab().values(), default=-1)) >= vocabulary:
        return f"its {folder.name} has a token {most}, and the text encoder knows {vocabulary}"
    if tokenizer.model_max_length != WINDOW:
        return f"its {folder.name} does not give prompts {WINDOW} tokens (model_max_length in tokenizer_config.json)"
    if pad_token is not None and tokenizer.pad_token_id != pad_token:
        return f"its {folder.name} fills prompts up with token {tokenizer.pad_token_id}, not {pad_token}"
    return None
