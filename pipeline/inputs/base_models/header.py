"""Read what a safetensors file holds from its header alone, and tell which model a single-file checkpoint is."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.weights import refused_weights

_LONGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""


@dataclass(frozen=True)
class Tensor:
    """Type ("F16") and shape of one tensor."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, Tensor]:
    """Every tensor that a safetensors file holds. Raises UserError for a pickle, and when bytes are missing."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0]
            if length > _LONGEST_HEADER:
                raise ValueError("its header is too long")
            header = json.loads(file.read(length))
        tensors = {name: Tensor(str(row["dtype"]), tuple(row["shape"])) for name, row in _rows(header).items()}
        expected = 8 + length + max((row["data_offsets"][1] for row in _rows(header).values()), default=0)
    except (struct.error, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise refused_weights(path, error) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if (found := path.stat().st_size) != expected:
        raise UserError(f"{path} has {found} of {expected} bytes; fetch it again")
    return tensors


def _rows(header: dict[str, dict]) -> dict[str, dict]:
    return {name: row for name, row in header.items() if name != "__metadata__"}


UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
TEXT_XL, TEXT_XL_2 = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
"""How the keys of a single-file Stable Diffusion begin (CompVis's naming, and Stability's for XL)."""

_FOREIGN = {
    "double_blocks.": "Flux",
    "joint_blocks.": "Stable Diffusion 3",
    "cond_stage_model.model.": "Stable Diffusion 2",
    "conditioner.embedders.0.model.": "SDXL's refiner",
    "control_model.": "a ControlNet",
    "v_pred": "a model that predicts v",
    "lora_": "a LoRA",
}


def single_file_kind(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Which of "sd1", "sdxl" and "vae" the file is. Raises UserError that says what it is instead, or lacks."""
    for mark, what in _FOREIGN.items():
        if any(name.startswith(mark) or f".{mark}" in name for name in tensors):
            raise UserError(f"{path} is {what}, and a chain needs Stable Diffusion 1.x or SDXL; give one of these")
    starts = [start for start in (UNET, VAE, TEXT, TEXT_XL, TEXT_XL_2) if any(name.startswith(start) for name in tensors)]
    if starts == [VAE] or (not starts and "encoder.conv_in.weight" in tensors):
        return "vae"
    kind = "sdxl" if TEXT_XL_2 in starts else "sd1"
    needed = (UNET, VAE, TEXT_XL, TEXT_XL_2) if kind == "sdxl" else (UNET, VAE, TEXT)
    if not starts:
        raise UserError(f"{path} is no Stable Diffusion checkpoint (its first tensor is {min(tensors, default='none')})")
    if missing := [start.removesuffix(".") for start in needed if start not in starts]:
        raise UserError(f"{path} has no {', '.join(missing)}, so it is no whole Stable Diffusion; give a full checkpoint")
    channels = tensors.get(f"{UNET}input_blocks.0.0.weight", Tensor("", (0, 0))).shape[1]
    if channels != 4:
        raise UserError(f"{path} takes {channels} channels (4: text to image; 9: inpainting); give a text-to-image model")
    return kind
