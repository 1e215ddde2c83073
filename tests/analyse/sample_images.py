"""Pictures whose spectra are known."""

from __future__ import annotations

import numpy as np


def noise(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    """[H,W,3] uint8, white."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def wave(u: int, v: int, size: int = 64, amplitude: float = 100.0) -> np.ndarray:
    """[S,S,3] uint8: u cycles down, v cycles across."""
    y, x = np.mgrid[:size, :size]
    values = np.rint(128 + amplitude * np.cos(2 * np.pi * (u * y + v * x) / size))
    return np.repeat(values[..., None], 3, axis=2).astype(np.uint8)


def smooth(size: int = 256) -> np.ndarray:
    """[S,S,3] float32 in 0.2..0.8: slow waves, a different one in each channel."""
    y, x = np.mgrid[:size, :size] / size
    channels = [0.5 + 0.3 * np.sin(2 * np.pi * (a * x + b * y)) for a, b in ((1, 0), (0.5, 1), (1, -1))]
    return np.stack(channels, axis=2).astype(np.float32)


def to_pixels(image: np.ndarray) -> np.ndarray:
    """float 0..1 -> uint8."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
