"""A loaded Stable Diffusion 1.x."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.diffusion import text
from pipeline.diffusion.compiled import is_compiled
from pipeline.diffusion.cpu_layout import optimized_for_cpu
from pipeline.diffusion.cross_attention_cache import cached_cross_attention
from pipeline.diffusion.families.layout import pixels_per_latent
from pipeline.diffusion.loading import from_pretrained, load_weights
from pipeline.diffusion.text import CHUNK

_UNET_WIDTHS = 32
"""Peak of a U-Net's forward pass in tensors of its first block's size: counted 26.1 for SD 1.5, 15.9 for SDXL."""

_DECODER_WIDTHS = 8
"""The same for the VAE's decoder, in tensors of the image's size and the VAE's first width: counted 6.0."""


@dataclass
class StableDiffusion:
    """The four parts of a text-to-image model, on one device and in one dtype, not requiring gradients."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel

    family: Any = field(kw_only=True)
    """The `ModelFamily` that it was loaded by."""

    @property
    def noise(self) -> Any:
        return self.family.noise

    @property
    def denoiser(self) -> UNet2DConditionModel:
        return self.unet

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.contiguous_format if self.device.type == "cpu" else torch.channels_last

    @property
    def latent_channels(self) -> int:
        return int(self.unet.config.in_channels)

    @property
    def pixels_per_latent(self) -> int:
        """How many pixels, in each direction, one latent covers (8)."""
        return pixels_per_latent(self.vae.config.block_out_channels)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> StableDiffusion:
        for part in (self.text_encoder, self.vae, self.unet):
            cast(part, device, dtype)
        return self

    def move_to(self, device: torch.device | str, dtype: torch.dtype) -> StableDiffusion:
        self.to(device, dtype)
        for part in (self.unet, self.vae):
            part.to(memory_format=self.memory_format)
        return self

    def tokenize(self, prompts: Sequence[str], max_token_length: int = CHUNK) -> torch.Tensor:
        """Turn prompts into token ids [N,C,77] int64."""
        return text.tokenize(self.tokenizer, prompts, max_token_length)

    def encode(self, ids: torch.Tensor, clip_skip: int = 2) -> torch.Tensor:
        return text.encode(self.text_encoder, ids, clip_skip)

    def predict(self, latents: torch.Tensor, times: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Predict from latents [N,4,h,w] of variance 1, times [N] or [], conditions [N,S,d] -> noise [N,4,h,w]."""
        return self.unet(latents, times, encoder_hidden_states=condition, return_dict=False)[0]

    def states(self, condition: torch.Tensor) -> torch.Tensor:
        """Return what cross-attention sees of a condition, [N,S,d]."""
        return condition

    @contextmanager
    def fixed_prompts(self, condition: torch.Tensor, latents: int) -> Iterator[None]:
        """Compute keys and values once, with less memory traffic on a CPU; a compiled U-Net is left as it is."""
        with ExitStack() as stack:
            if not is_compiled(self.unet):
                stack.enter_context(cached_cross_attention(self.unet, self.states(condition)))
                if self.device.type == "cpu":
                    stack.enter_context(optimized_for_cpu(self.unet, len(condition), latents))
            yield

    def scale_latents(self, latents: torch.Tensor) -> torch.Tensor:
        return latents * self.family.latent_scale

    def unscale_latents(self, latents: torch.Tensor) -> torch.Tensor:
        return latents / self.family.latent_scale

    def text_encoders(self) -> Mapping[str, nn.Module]:
        return {prefix: getattr(self, part) for prefix, part in self.family.layout.lora_encoders.items()}

    def lora_blocks(self) -> frozenset[str]:
        return frozenset({"Transformer2DModel"})

    def text_blocks(self) -> frozenset[str]:
        return frozenset({"CLIPAttention", "CLIPMLP"})

    def lora_name(self, path: str) -> str:
        return path

    @property
    def layers_per_block(self) -> int:
        return int(self.unet.config.layers_per_block)

    def prediction_bytes(self, latents: int) -> int:
        return 2 * _UNET_WIDTHS * int(self.unet.config.block_out_channels[0]) * latents * self.unet.dtype.itemsize

    def decoding_bytes(self, pixels: int) -> int:
        return _DECODER_WIDTHS * int(self.vae.config.block_out_channels[0]) * pixels * self.vae.dtype.itemsize


def cast(part: nn.Module, device: torch.device | str, dtype: torch.dtype) -> None:
    """Move and cast, not by part.to(): diffusers' own warns at every cast."""
    nn.Module.to(part, device=device, dtype=dtype)


def load(family: Any, model: Path, vae: Path, dtype: torch.dtype | None) -> StableDiffusion:
    """As `ModelFamily.load`."""
    return StableDiffusion(
        family=family,
        tokenizer=from_pretrained(CLIPTokenizer, model / "tokenizer"),
        text_encoder=load_weights(CLIPTextModel, model / "text_encoder", dtype),
        vae=load_weights(AutoencoderKL, vae, dtype),
        unet=load_weights(UNet2DConditionModel, model / "unet", dtype),
    )
