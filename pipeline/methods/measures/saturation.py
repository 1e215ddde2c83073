"""Colour saturation (section 3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.methods.measures import image_measure, relative_measure


@image_measure(
    "saturation",
    title="Colour saturation",
    note="Mean over all pixels, from 0 (grey) to 1 (pure colour)",
    source="HSV; section 3.2",
    sets="both",
    pages=("plots",),
    from_zero=True,
)
def _of_image(image: np.ndarray, params: Any) -> float:
    return saturation(image)


def saturation(image: np.ndarray) -> float:
    """Map [H,W,3] uint8 to the mean saturation in HSV, (max - min) / max, 0..1."""
    red, green, blue = image.transpose(2, 0, 1).astype(np.float32)
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return float(((high - low) / np.maximum(high, 1.0)).mean(dtype=np.float64))


@relative_measure(
    "saturation_growth",
    title="Saturation growth",
    note="Saturation of D_k over that of the real images: above 1 is oversaturated",
    source="section 3.2",
    to_real="saturation",
    pages=("compare",),
)
def _growth(saturation: float, real: float) -> float | None:
    return saturation / real if real else None
