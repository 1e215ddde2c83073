"""M_0: load a Stable Diffusion 1.x model in diffusers layout."""

from __future__ import annotations

import pipeline.compat  # noqa: F401  (before diffusers)

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.errors import UserError
from pipeline.guards import refuse_pickles

LATENT_SCALE = 0.18215
"""Latents are multiplied by this before diffusion, in sd-scripts whatever the VAE's config says, and so here."""

BETA_START, BETA_END, TRAIN_STEPS = 0.00085, 0.012, 1000
"""Stable Diffusion's noise schedule, "scaled_linear" in diffusers' words."""


@dataclass
class StableDiffusion:
    """The four parts of a text-to-image model, on one device and in one dtype, not requiring gradients."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def latent_channels(self) -> int:
        return int(self.unet.config.in_channels)

    @property
    def pixels_per_latent(self) -> int:
        """How many pixels, in each direction, one latent covers (8)."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> StableDiffusion:
        for part in (self.text_encoder, self.vae, self.unet):
            # Not part.to(): diffusers' own warns at every cast.
            nn.Module.to(part, device=device, dtype=dtype)
        return self


def load_base(model: str | Path, vae: str | Path | None = None) -> StableDiffusion:
    """Load M_0 from a diffusers folder in float32 on the CPU, the VAE replaced by `vae` when given.

    Raises UserError when a part is missing or damaged.
    """
    refuse_pickles(Path(model), ("text_encoder", "unet", *(() if vae else ("vae",))))
    if vae:
        refuse_pickles(Path(vae))
    for folder in (model, vae):
        if folder and not Path(folder).is_dir():
            raise UserError(f"there is no folder {folder}; name one that holds a model in diffusers layout")
    for part in ("tokenizer", "text_encoder", "unet", *(() if vae else ("vae",))):
        if not (Path(model) / part).is_dir():
            raise UserError(f"{model} has no folder {part}, so it is no whole model in diffusers layout; fetch it again")
    name = str(model)
    tokenizer = _load(CLIPTokenizer, name, "tokenizer")
    text_encoder = _load(CLIPTextModel, name, "text_encoder")
    autoencoder = _load(AutoencoderKL, str(vae) if vae else name, None if vae else "vae")
    unet = _load(UNet2DConditionModel, name, "unet")
    for part in (text_encoder, autoencoder, unet):
        part.float().eval().requires_grad_(False)
    return StableDiffusion(tokenizer, text_encoder, autoencoder, unet)


def _load(kind: Any, name: str, part: str | None, **options: Any) -> Any:
    if part is not None:
        options["subfolder"] = part
    try:
        return kind.from_pretrained(name, **options)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, ImportError, SafetensorError) as error:
        where = f"{name}/{part}" if part else name
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"cannot load {kind.__name__} from {where}: {reason}") from error
