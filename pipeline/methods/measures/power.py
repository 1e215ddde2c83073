"""High-frequency power (section D.2.1): noise and hard edges, or blur."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.methods.measures import MeasuredSets, image_measure, measure


@image_measure(
    "power",
    title="Power",
    note="S, the mean power of an image at frequencies above the cut-off",
    source="eq. 13-14",
    sets="both",
    pages=(),
)
def _of_image(image: np.ndarray, params: Any) -> float:
    return high_frequency_power(image, params.frequency_cutoff)


@measure(
    "power_spread",
    title="Spread of the power",
    note="Standard deviation of S over the images",
    source="section 4",
    sets="both",
    pages=(),
)
def _spread(sets: MeasuredSets) -> float:
    return float(np.std(sets.of_images["power"], ddof=1))


@measure(
    "power_ratio",
    title="High-frequency power",
    note="S_k / S_0: rising means noise and hard edges, falling means blur",
    source="eq. 15",
    pages=("compare", "table", "summary", "plots"),
    heading="S_K/S_0",
    from_zero=True,
)
def _ratio(sets: MeasuredSets) -> float | None:
    return sets.found["power"] / sets.of_real["power"] if sets.of_real["power"] > 0 else None


def high_frequency_power(image: np.ndarray, cutoff: float = 0.02) -> float:
    """[H,W,3] uint8 -> S_i (eq. 14): the power at r = sqrt((u/M)^2 + (v/N)^2) > `cutoff`, in cycles per pixel.

    The paper leaves two things open. Here pixels are in 0..1 and the power is the mean over R, G and B, so that colour
    noise counts; and it is normalised as in `power_spectrum`: S_i is then the variance of the pixels above the cutoff
    and comparable between resolutions (the paper's mu_0 = 0.027 is of this order).

    By Parseval S_i is the variance of the pixels less the power at 0 < r <= cutoff. At the paper's cutoff those are a
    few hundred frequencies, which cost less than the whole transform.
    """
    import cv2

    variance = np.square(cv2.meanStdDev(image)[1]).mean() / 255**2
    rows, columns, weight = _low_frequencies(*image.shape[:2], cutoff)
    pixels = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)
    low = rows @ (pixels @ columns).view(np.complex64)
    power = np.square(np.abs(low), dtype=np.float64).mean(axis=0)
    return max(float(variance - np.vdot(weight, power) / 255**2), 0.0)


@lru_cache(maxsize=8)
def _low_frequencies(height: int, width: int, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of the Fourier matrices up to `cutoff`: [U,H] complex64 and [W,2V] float32 (real and imaginary parts by
    turns, since real times real is cheaper), divided by H and W; and the weight [U,V] of each frequency: 0 outside
    0 < r <= cutoff, 2 where the conjugate half counts too."""
    import scipy.fft

    u, v = (
        frequencies[np.abs(frequencies) <= cutoff] for frequencies in (scipy.fft.fftfreq(height), scipy.fft.rfftfreq(width))
    )
    rows = np.exp(-2j * np.pi * np.outer(u, np.arange(height))) / height
    columns = np.exp(-2j * np.pi * np.outer(np.arange(width), v)) / width
    radius = np.hypot(u[:, None], v)
    weight = np.where((radius > 0) & (radius <= cutoff), np.where(v > 0, 2.0, 1.0), 0.0)
    return rows.astype(np.complex64), columns.astype(np.complex64).view(np.float32), weight
