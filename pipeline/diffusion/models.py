"""M_0: load a model in diffusers layout, of whichever family it is, or look at its small files alone."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTokenizer

from pipeline.core.errors import UserError
from pipeline.diffusion.families import DiffusionModel, family_of
from pipeline.diffusion.families.layout import pixels_per_latent
from pipeline.diffusion.judgement.usable import require_usable
from pipeline.diffusion.loading import from_pretrained, require_folders


def load_base(model: str | Path, vae: str | Path | None = None, dtype: torch.dtype | None = torch.float32) -> DiffusionModel:
    """Load M_0 from a diffusers folder onto the CPU, the VAE replaced by `vae` when given.

    `dtype` None keeps each part as its file has it, which takes the least memory; what a family keeps in float32 is so in any
    case. Raise UserError as `require_usable` does.
    """
    require_usable(model, vae)
    family = family_of(model)
    return family.load(Path(model), Path(vae) if vae else Path(model) / family.layout.vae, dtype)


@dataclass(frozen=True)
class Outline:
    """What a model is, without its weights."""

    tokenizer: CLIPTokenizer
    """The first one, where there are several."""
    pixels_per_latent: int
    side: int
    """Width and height, in pixels, of the images that it was made for."""


def outline(model: str | Path) -> Outline:
    """Read the small files of a diffusers folder. Raise UserError when one is missing or damaged."""
    layout, folder = family_of(model).layout, Path(model)
    first = next(iter(layout.tokenizers))
    require_folders(model, (first, layout.denoiser, layout.vae))
    cell = pixels_per_latent(_setting(folder / layout.vae, "block_out_channels"))
    size = int(_setting(folder / layout.denoiser, "sample_size"))
    if layout.key == "sd1":
        size = max(size, _least_size(folder / layout.denoiser))
    return Outline(from_pretrained(CLIPTokenizer, folder / first), cell, size * cell)


_SIZE_OF_OLD = 64


def _least_size(folder: Path) -> int:
    """Return the least sample_size that diffusers draws with: configs of before its version 0.9 say 32 and mean 64."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    parts = str(config.get("_diffusers_version", "")).split(".")
    old = parts[0] == "0" and len(parts) > 1 and parts[1].isdecimal() and int(parts[1]) < 9
    return _SIZE_OF_OLD if old else 0


def _setting(folder: Path, key: str) -> Any:
    """Return one value of a part's config."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read {key} in {folder}/config.json; fetch the model again") from error
