"""Tell from the names of its tensors which model a single-file checkpoint is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.tensors import TensorInfo

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


def single_file_kind(path: Path, tensors: Mapping[str, TensorInfo]) -> str:
    """Tell which of "sd1", "sdxl" and "vae" the file is. Raise UserError that says what it is instead, or lacks."""
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
    channels = tensors.get(f"{UNET}input_blocks.0.0.weight", TensorInfo("", (0, 0))).shape[1]
    if channels != 4:
        raise UserError(f"{path} takes {channels} channels (4: text to image; 9: inpainting); give a text-to-image model")
    return kind
