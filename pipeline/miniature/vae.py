"""The miniature's VAE: diffusers' AutoencoderKL, 64x64x3 -> 8x8x4, scaled to suit the constant 0.18215."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import torch
from diffusers import AutoencoderKL

from pipeline.diffusion.families.sd1 import StableDiffusion1
from pipeline.miniature.drawings import Drawings, to_unit_range
from pipeline.miniature.training_loop import fit

SCALING_FACTOR = StableDiffusion1.latent_scale
"""sd-scripts multiplies latents by this constant whatever the VAE's config says, so the weights must suit it."""

KL_WEIGHT = 2e-5


def new_vae() -> AutoencoderKL:
    """Return 4.5M parameters, most of them at low resolution, where they cost little.

    Few normalisation groups: groups of 2-4 channels act as instance norm and lose colour.
    """
    return AutoencoderKL(
        block_out_channels=(16, 48, 96, 160),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=64,
        scaling_factor=SCALING_FACTOR,
    )


def train_vae(drawings: Drawings, *, steps: int, batch: int, lr: float, seed: int) -> tuple[AutoencoderKL, list[float]]:
    """Minimise squared plus a little absolute error, with a weak KL term; bfloat16 autocast, float32 weights."""
    torch.manual_seed(seed)
    vae = new_vae().to(memory_format=torch.channels_last)

    def loss_of(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        images = to_unit_range(drawings.images[rows]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator)
            decoded = vae.decode(posterior.mean + posterior.std * noise).sample.float()
        error = decoded - images
        kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1.0 - posterior.logvar.float()).mean()
        return (error**2).mean() + 0.05 * error.abs().mean() + KL_WEIGHT * kl

    averaged, history = fit("vae", vae, loss_of, len(drawings), steps=steps, batch=batch, lr=lr, seed=seed, ema=0.999)
    averaged = averaged.to(memory_format=torch.contiguous_format)
    rescale_latents(averaged, encode(averaged, drawings.images[:1024]))
    return averaged, history


def rescale_latents(vae: AutoencoderKL, latents: torch.Tensor) -> None:
    """Fold shift and scale into the 1x1 convolutions round the latent, so that 0.18215 * latent has mean 0, std 1.

    Exact: decode(encode(x)) does not change. `latents` [N,4,h,w] are the VAE's unscaled means on real images.
    """
    channel_mean = latents.mean(dim=(0, 2, 3))
    scale = float(1.0 / (SCALING_FACTOR * (latents - channel_mean.view(1, -1, 1, 1)).std()))
    channels = vae.config.latent_channels
    quant, post = vae.quant_conv, vae.post_quant_conv
    with torch.no_grad():
        post.bias += torch.einsum("oikl,i->o", post.weight, channel_mean)
        post.weight /= scale
        quant.weight[:channels] *= scale
        quant.bias[:channels] = (quant.bias[:channels] - channel_mean) * scale
        quant.bias[channels:] += 2.0 * float(torch.tensor(scale).log())


@torch.no_grad()
def encode(vae: AutoencoderKL, images: torch.Tensor, batch: int = 128) -> torch.Tensor:
    """Encode to means of the posterior, unscaled: [N,3,64,64] uint8 -> [N,4,8,8] float32."""
    return torch.cat([vae.encode(to_unit_range(chunk)).latent_dist.mean for chunk in images.split(batch)])


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: torch.Tensor, batch: int = 128) -> torch.Tensor:
    """Decode unscaled latents [N,4,8,8] to images [N,3,64,64] uint8."""
    chunks = [vae.decode(chunk).sample for chunk in latents.split(batch)]
    return ((torch.cat(chunks) / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)


def psnr(images: torch.Tensor, others: torch.Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB over two uint8 batches."""
    return float(10.0 * torch.log10(255.0**2 / (images.float() - others.float()).square().mean()))
