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
from pipeline.core.weights import refuse_pickles
from pipeline.diffusion.families import FAMILIES, DiffusionModel, ModelFamily, family_of
from pipeline.diffusion.families.layout import pixels_per_latent
from pipeline.diffusion.loading import from_pretrained, require_folders


def load_base(model: str | Path, vae: str | Path | None = None, dtype: torch.dtype | None = torch.float32) -> DiffusionModel:
    """Load M_0 from a diffusers folder onto the CPU, the VAE replaced by `vae` when given.

    `dtype` None keeps each part as its file has it, which takes the least memory; what a family keeps in float32 is so in any
    case. Raise UserError when a part is missing or damaged, or the VAE belongs to another family.
    """
    family = family_of(model)
    layout = family.layout
    own_vae = () if vae else (layout.vae,)
    refuse_pickles(Path(model), (*layout.text_encoders, layout.denoiser, *own_vae))
    if vae:
        refuse_pickles(Path(vae))
    require_folders(model, (*layout.tokenizers, *layout.text_encoders, layout.denoiser, *own_vae), vae)
    vae_folder = Path(vae) if vae else Path(model) / layout.vae
    loaded = family.load(Path(model), vae_folder, dtype)
    _check_vae(loaded.vae, family, vae_folder)
    return loaded


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
    side = int(_setting(folder / layout.denoiser, "sample_size")) * cell
    return Outline(from_pretrained(CLIPTokenizer, folder / first), cell, side)


def _setting(folder: Path, key: str) -> Any:
    """Return one value of a part's config."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read {key} in {folder}/config.json; fetch the model again") from error


def _check_vae(vae: Any, own: ModelFamily, folder: Path) -> None:
    """Raise UserError for a VAE of another family: its latents mean something else, and nothing later would say so."""
    for other in FAMILIES.values():
        if vae.config.scaling_factor == other.latent_scale != own.latent_scale:
            raise UserError(
                f"{folder} is a VAE of {other.layout.name}, the model is {own.layout.name}; set vae to one of its kind, or null"
            )
