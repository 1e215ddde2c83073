"""A loaded Stable Diffusion XL: a Stable Diffusion with a second text encoder, whose pooled embedding is a condition, too."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline.diffusion import text
from pipeline.diffusion.devices import to_device
from pipeline.diffusion.families.original_names import original_name
from pipeline.diffusion.families.sd1.model import StableDiffusion, cast
from pipeline.diffusion.families.sdxl.layout import CLIP_SKIP
from pipeline.diffusion.loading import from_pretrained, load_weights
from pipeline.diffusion.text import CHUNK


@dataclass
class StableDiffusionXL(StableDiffusion):
    """SDXL: two tokenizers and two text encoders; the VAE stays in float32, because it overflows in half precision."""

    tokenizer_2: CLIPTokenizer
    text_encoder_2: CLIPTextModelWithProjection

    def to(self, device: torch.device | str, dtype: torch.dtype) -> StableDiffusionXL:
        for part in (self.text_encoder, self.text_encoder_2, self.unet):
            cast(part, device, dtype)
        cast(self.vae, device, torch.float32)
        return self

    def tokenize(self, prompts: Sequence[str], max_token_length: int = CHUNK) -> torch.Tensor:
        """Turn prompts into token ids of both tokenizers [N,2,C,77] int64."""
        both = (self.tokenizer, self.tokenizer_2)
        return torch.stack([text.tokenize(tokenizer, prompts, max_token_length) for tokenizer in both], dim=1)

    def encode(self, ids: torch.Tensor, clip_skip: int = CLIP_SKIP) -> torch.Tensor:
        """Encode token ids [N,2,C,77] -> conditions [N,S+1,d]: states, the pooled embedding as the last row (`encode_both`)."""
        self.family.check_clip_skip(clip_skip)
        return encode_both(self.text_encoder, self.text_encoder_2, ids)

    def states(self, condition: torch.Tensor) -> torch.Tensor:
        return condition[:, :-1]

    def predict(self, latents: torch.Tensor, times: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """As for Stable Diffusion 1.x. The time ids say that the image was never larger nor cropped, as sd-scripts' do."""
        width = int(self.text_encoder_2.config.projection_dim)
        states, pooled = split_condition(condition.to(latents.dtype), width)
        size = [side * self.pixels_per_latent for side in latents.shape[-2:]]
        ids = to_device(latents.device, torch.tensor([*size, 0, 0, *size], dtype=torch.float32)).expand(len(latents), -1)
        added = {"text_embeds": pooled, "time_ids": ids}
        return self.unet(latents, times, encoder_hidden_states=states, added_cond_kwargs=added, return_dict=False)[0]

    def lora_name(self, path: str) -> str:
        """Name a layer in the words of the original SDXL code, as kohya's files do."""
        return original_name(path, self.layers_per_block, with_attention=True)


def encode_both(first: CLIPTextModel, second: CLIPTextModelWithProjection, ids: torch.Tensor) -> torch.Tensor:
    """Encode token ids of both tokenizers [N,2,C,77] -> condition [N, 75 C + 3, d1 + d2], taken apart by `split_condition`.

    The states are those of both encoders' last layer but one, without a final layer norm, side by side. The last row is the
    second encoder's projected state at the first chunk's EOS, filled up with zeros.
    """
    one = first(text.windows(first, ids[:, 0]), output_hidden_states=True)
    two = second(text.windows(second, ids[:, 1]), output_hidden_states=True)
    chunks = ids.shape[2]
    states = torch.cat([text.join(output.hidden_states[-CLIP_SKIP], chunks) for output in (one, two)], dim=-1)
    pooled = two.text_embeds[::chunks]
    row = functional.pad(pooled, (0, states.shape[-1] - pooled.shape[-1]))
    return torch.cat([states, row[:, None].to(states.dtype)], dim=1)


def split_condition(condition: torch.Tensor, pooled_width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Split SDXL's condition [N,S+1,d] into states [N,S,d] and pooled embedding [N,pooled_width]."""
    return condition[:, :-1], condition[:, -1, :pooled_width]


def load(family: Any, model: Path, vae: Path, dtype: torch.dtype | None) -> StableDiffusionXL:
    """As `ModelFamily.load`; the VAE is in float32 in any case."""
    second = from_pretrained(CLIPTokenizer, model / "tokenizer_2")
    # As sd-scripts makes it do, whatever the tokenizer's files say.
    second.pad_token_id = 0
    return StableDiffusionXL(
        family=family,
        tokenizer=from_pretrained(CLIPTokenizer, model / "tokenizer"),
        text_encoder=load_weights(CLIPTextModel, model / "text_encoder", dtype),
        vae=load_weights(AutoencoderKL, vae, torch.float32),
        unet=load_weights(UNet2DConditionModel, model / "unet", dtype),
        tokenizer_2=second,
        text_encoder_2=load_weights(CLIPTextModelWithProjection, model / "text_encoder_2", dtype),
    )
