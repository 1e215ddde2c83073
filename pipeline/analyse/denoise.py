"""Denoisers for fingerprints: what they take away from an image is its residual."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pywt

from pipeline.core.errors import UserError

WAVELET, LEVELS = "db2", 3
LEAST_NOISE = 1 / 255
"""The noise (standard deviation) that Corvi et al. 2023 denoise for; a flat image shows none of its own."""


Denoiser = Callable[[np.ndarray], np.ndarray]
"""[H,W,3] float32 RGB in 0..1 -> the same without its noise."""


def load_denoiser(name: str, weights: str | None = None) -> Denoiser:
    """Load the denoiser `name`: wavelet, nlm or dncnn, which reads the safetensors file `weights`.

    Raise UserError when dncnn has no weights, or wrong ones, and on another name.
    """
    if name == "dncnn":
        if weights is None:
            raise UserError(
                "denoiser is dncnn, so denoiser_weights must name a safetensors file with its weights (params.yaml)"
            )
        from pipeline.analyse.dncnn import load_dncnn

        return load_dncnn(Path(weights))
    classical: dict[str, Denoiser] = {"wavelet": wavelet, "nlm": non_local_means}
    if name not in classical:
        raise UserError(f"denoiser must be wavelet, nlm or dncnn, got {name!r} (params.yaml)")
    return classical[name]


def wavelet(image: np.ndarray) -> np.ndarray:
    """Denoise [H,W,3] float32 by soft thresholds by BayesShrink (Chang, Yu and Vetterli 2000), each channel alone."""
    height, width, _ = image.shape
    channels = np.ascontiguousarray(image.transpose(2, 0, 1))
    levels = min(LEVELS, pywt.dwtn_max_level((height, width), WAVELET))
    if levels == 0:
        return image
    approximation, *details = pywt.wavedec2(channels, WAVELET, level=levels)
    variance = np.square(_noise(details[-1][-1]))
    shrunk = [tuple(_shrink(band, variance) for band in level) for level in details]
    restored = pywt.waverec2([approximation, *shrunk], WAVELET)
    return restored[:, :height, :width].transpose(1, 2, 0)


def non_local_means(image: np.ndarray) -> np.ndarray:
    """Denoise [H,W,3] float32 by OpenCV's non-local means, which rounds to 8 bits; 30 times slower than `wavelet`.

    R, G and B are denoised together: OpenCV's variant for colours converts to 8-bit CIELAB and back, and that alone moves
    pixels by a level, as much as the residuals of clean images.
    """
    pixels = np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
    diagonal = pywt.dwt2(image.transpose(2, 0, 1), WAVELET)[1][-1]
    strength = 255 * float(_noise(diagonal).mean())
    return cv2.fastNlMeansDenoising(pixels, None, strength, 7, 21).astype(np.float32) / np.float32(255)


def _noise(diagonal: np.ndarray) -> np.ndarray:
    """Estimate the noise's standard deviation [3,1,1] from the finest diagonal band [3,h,w] (Donoho and Johnstone 1994)."""
    sizes = np.abs(diagonal).reshape(len(diagonal), -1)
    middle = sizes.shape[1] // 2
    median = np.partition(sizes, middle, axis=1)[:, middle].reshape(-1, 1, 1)  # np.median: twice the time
    return np.maximum(median / np.float32(0.6745), np.float32(LEAST_NOISE))


def _shrink(band: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Move coefficients [3,h,w] towards 0 by variance / (deviation of the signal); a band of noise alone vanishes."""
    signal = np.square(band).mean(axis=(1, 2), keepdims=True) - variance
    threshold = variance / np.sqrt(np.maximum(signal, np.float32(1e-12)))
    return band - np.clip(band, -threshold, threshold)
