"""What nothing can beat at the paper's scale, from counted operations, and what this project aims at."""

from __future__ import annotations

TFLOPS = 790
"""bf16, dense, measured on an H200."""

UNET_FORWARD, VAE_ENCODE, VAE_DECODE, TEXT_ENCODER, DINOV2 = 0.803, 1.117, 2.515, 0.013, 0.162
"""TFLOP of SD 1.5 at 512x512 for one image: attention products counted too."""

STEP_SECONDS = 14.4e-3
"""One update at batch 6 from cached latents: forward, gradients of activations, gradients of the LoRA."""

LIVE_STEP_SECONDS = 22.8e-3
"""The same with the VAE's encoder in every step."""

UPDATES, IMAGES = 16_800, 1000
"""Of one iteration: 100 epochs of 1008 images in batches of 6; then an image for each prompt."""

AIMS = {
    "sampling, images/s": 6.0,
    "sampling, times compiled diffusers": 1.5,
    "training, updates/s": 20.0,
    "training, times sd-scripts": 3.0,
    "one iteration, minutes": 25.0,
}


def image_seconds(steps: int = 30) -> float:
    """One image with guidance, decoding included: 64 ms for 30 steps."""
    return (2 * steps * UNET_FORWARD + VAE_DECODE) / TFLOPS
