"""Convert a single-file checkpoint (.safetensors, the original key naming) to diffusers layout, tensor for tensor.

The keys are mapped by diffusers; its own loader would fetch the configs from the hub, so these come from our JSON.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from diffusers.utils import logging
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from pipeline.core.errors import UserError
from pipeline.core.json_files import write_json
from pipeline.diffusion.families.layout import Config
from pipeline.inputs.base_models.single_file import TEXT, TEXT_XL, UNET, VAE, write_tokenizer

Tensors = Mapping[str, torch.Tensor]
_TEXT_MODELS = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}


def convert(file: Path, folder: Path, kind: str, configs: Mapping[str, Config], tokenizer: list[str] | None) -> None:
    """Write the model in `file` to `folder` in diffusers layout, in the precision it has.

    `kind`: sd1, sdxl or vae; `configs`: one for each part; `tokenizer`: the texts of vocab.json and merges.txt.
    Raise UserError when a tensor is missing or of another shape.
    """
    tensors = _with_current_names(load_file(file))
    if kind == "vae":
        write_json(folder / "config.json", configs["vae"])
        _save(_convert(file, "vae", tensors, folder, None), folder)
        return
    write_skeleton(folder, configs, tokenizer or [])
    for part in ("unet", "vae", *(name for name in _TEXT_MODELS if name in configs)):
        _save(_convert(file, part, tensors, folder, part), folder / part)


def write_skeleton(folder: Path, configs: Mapping[str, Config], tokenizer: list[str]) -> None:
    """Write everything of a model in diffusers layout but its weights."""
    for part, config in configs.items():
        if part == "model_index":
            write_json(folder / "model_index.json", config)
        elif part.startswith("tokenizer"):
            write_tokenizer(folder / part, tokenizer, config)
        else:
            write_json(folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json"), config)


def _with_current_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of the first checkpoints, which leave "text_model." out of the text encoder's names."""
    old = tuple(f"{TEXT}{layer}." for layer in ("embeddings", "encoder", "final_layer_norm"))
    new = f"{TEXT}text_model."
    return {name.replace(TEXT, new, 1) if name.startswith(old) else name: tensor for name, tensor in tensors.items()}


def _convert(file: Path, part: str, tensors: Tensors, folder: Path, subfolder: str | None) -> nn.Module:
    """Load one part of the checkpoint as a model of diffusers' or transformers', in the file's precision."""
    dtype, place = _dtype(part, tensors), str(folder)
    try:
        if part in _TEXT_MODELS:
            model: Any = create_diffusers_clip_model_from_ldm(
                _TEXT_MODELS[part], dict(tensors), part, place, torch_dtype=dtype, local_files_only=True
            )
        else:
            kind = UNet2DConditionModel if part == "unet" else AutoencoderKL
            with _quiet():
                model = kind.from_single_file(
                    dict(tensors), config=place, subfolder=subfolder, torch_dtype=dtype, local_files_only=True
                )
    except NotImplementedError as error:
        # What the file did not fill is without memory still, and cannot be cast.
        raise UserError(f"{file} lacks tensors of the {part}; fetch it again") from error
    except (KeyError, ValueError, RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file} does not hold the {part} that its keys promise ({reason}); give another checkpoint") from error
    _require_all_used(file, part, tensors, len(model.state_dict()))
    missing = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if missing:
        raise UserError(f"{file} lacks {missing[0]} and {len(missing) - 1} more tensors of the {part}; fetch it again")
    return model


def _require_all_used(file: Path, part: str, tensors: Tensors, used: int) -> None:
    """Raise UserError for a U-Net or VAE that has more tensors than its kind: the names of both correspond one to one."""
    start = {"unet": UNET, "vae": VAE}.get(part)
    inside = [name for name in tensors if start and name.startswith(start) and not name.startswith(f"{VAE}loss.")]
    if len(inside) > used:
        raise UserError(f"{file} has {len(inside) - used} more tensors in its {part} than a plain one; give another checkpoint")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence diffusers' warning that casting a whole model may be wrong: every tensor has that precision already."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _dtype(part: str, tensors: Tensors) -> torch.dtype:
    """Return the precision of a part in the file: parts may differ, a VAE in fp32 beside a U-Net in fp16."""
    starts = {"unet": (UNET,), "text_encoder": (TEXT, TEXT_XL), "text_encoder_2": ("conditioner.embedders.1.",)}
    chosen = starts.get(part, ("first_stage_model.", "encoder.", "decoder."))
    kinds = {tensor.dtype for name, tensor in tensors.items() if name.startswith(chosen) and tensor.is_floating_point()}
    return torch.float32 if torch.float32 in kinds or not kinds else min(kinds, key=str)


def _save(model: Any, folder: Path) -> None:
    """Save contiguous tensors: a transposed view cannot be stored."""
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()
    model.save_pretrained(folder, safe_serialization=True)
