"""The miniature's U-Net: SD 1.5's four blocks in small, trained to predict noise on the VAE's latents."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.diffusion import text
from pipeline.diffusion.families.sd1 import StableDiffusion1
from pipeline.diffusion.noise_schedule import NOISE, TRAIN_STEPS
from pipeline.miniature.drawings import Drawings, to_unit_range
from pipeline.miniature.training_loop import fit

WIDTHS = (64, 96, 96, 96)
CAPTION_DROPOUT = 0.12
MIN_SNR_GAMMA = 5.0
CLIP_SKIP = 2


def new_unet(widths: tuple[int, ...] = WIDTHS, context: int = 128, groups: int = 8) -> UNet2DConditionModel:
    """Return 8.1M parameters at the default widths; each level has 8 heads, as SD 1.5 (there called attention_head_dim)."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        block_out_channels=widths,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=context,
        attention_head_dim=8,
        norm_num_groups=groups,
    )


@torch.no_grad()
def encode_posterior(vae: AutoencoderKL, images: torch.Tensor, batch: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode uint8 images -> scaled latents' mean and standard deviation, each [N,4,8,8] float32."""
    means, stds = [], []
    for chunk in images.split(batch):
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(to_unit_range(chunk)).latent_dist
        means.append(posterior.mean.float() * StableDiffusion1.latent_scale)
        stds.append(posterior.std.float() * StableDiffusion1.latent_scale)
    return torch.cat(means), torch.cat(stds)


@torch.no_grad()
def encode_captions(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel, captions: list[str]) -> torch.Tensor:
    """Encode captions -> states [N,77,d] bfloat16, of the same layer that finetuning and sampling use."""
    states = []
    for start in range(0, len(captions), 256):
        ids = text.tokenize(tokenizer, captions[start : start + 256])
        states.append(text.encode(text_encoder, ids, CLIP_SKIP).bfloat16())
    return torch.cat(states)


def train_unet(
    drawings: Drawings,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    vae: AutoencoderKL,
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    horizon: int | None = None,
    cooldown: int = 0,
    start: UNet2DConditionModel | None = None,
    compiled: bool = False,
) -> tuple[UNet2DConditionModel, list[float]]:
    """Train eps-prediction with min-SNR weights (gamma 5) and captions dropped with probability 0.12; text encoder frozen.

    From random weights, or from those of `start`, which are trained in place. `compiled` is a third faster on a CPU, and needs
    a C++ compiler.
    """
    torch.manual_seed(seed)
    mean, std = encode_posterior(vae, drawings.images)
    states = encode_captions(tokenizer, text_encoder, [*drawings.captions, ""])
    unet = (start or new_unet()).train().requires_grad_(True).to(memory_format=torch.channels_last)
    predict = torch.compile(unet) if compiled else unet

    def loss_of(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        latents = mean[rows] + std[rows] * torch.randn(mean[rows].shape, generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        t = torch.randint(TRAIN_STEPS, (batch,), generator=generator)
        dropped = torch.rand(batch, generator=generator) < CAPTION_DROPOUT
        noisy = NOISE.add_noise(latents, noise, t).contiguous(memory_format=torch.channels_last)
        condition = states[torch.where(dropped, len(drawings), rows)].float()
        return NOISE.loss(predict(noisy, t, condition).sample, latents, noise, t, MIN_SNR_GAMMA)

    averaged, history = fit(
        "unet", unet, loss_of, len(drawings), steps=steps, batch=batch, lr=lr, seed=seed,
        ema=0.998, weight_decay=1e-2, horizon=horizon, cooldown=cooldown,
    )  # fmt: skip
    return averaged.to(memory_format=torch.contiguous_format), history
