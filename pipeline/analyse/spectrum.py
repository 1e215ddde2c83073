"""Radial and angular power densities of images (section G.3; formulas of Corvi et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.measure.power import half_plane, power_spectrum

SIDE = 256
ANGLES = 16
_LOWEST_ANGULAR_FREQUENCY = 0.1


@dataclass(frozen=True)
class Densities:
    """Shares of an image's power. `radial` [R]: ring i holds round(r S) = i, for r in cycles per pixel of a side S, so
    its frequency is `frequencies`[i] = i / S; the shares sum to 1. `angular` [16]: directions atan2(u, v) mod pi of the
    power at r > 0.1, bin j starting at pi j / 16 (0: vertical structures)."""

    frequencies: np.ndarray
    radial: np.ndarray
    angular: np.ndarray


def densities(images: Iterable[np.ndarray]) -> Densities:
    """The mean densities of images [H,W,3] uint8, one at a time: memory does not grow with their number.

    Raises ValueError when there are none, or when they differ in size after cropping.
    """
    total: np.ndarray | None = None
    side = count = 0
    for image in images:
        prepared = standardise(image)
        if total is not None and prepared.shape[0] != side:
            raise ValueError(f"images must share one size, got sides {side} and {prepared.shape[0]}")
        side = prepared.shape[0]
        spectrum = power_spectrum(prepared).astype(np.float64)
        total = spectrum if total is None else total + spectrum
        count += 1
    if total is None:
        raise ValueError("a spectrum needs at least one image")
    return _bin(total / count, side)


def standardise(image: np.ndarray) -> np.ndarray:
    """[H,W,3] uint8 -> [S,S,3] float64: short side shrunk to 256 by area, centre crop, zero mean, unit RMS.

    A smaller image keeps its size, since enlarging it would invent a spectrum. A flat image gives zeros.
    """
    picture = Image.fromarray(image)
    side = min(*picture.size, SIDE)
    if min(picture.size) > SIDE:
        factor = SIDE / min(picture.size)
        picture = picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BOX)
    left, above = (picture.width - side) // 2, (picture.height - side) // 2
    values = np.asarray(picture.crop((left, above, left + side, above + side)), dtype=np.float64)
    values -= values.mean(axis=(0, 1))
    rms = np.sqrt(np.square(values).mean())
    return values / rms if rms > 0 else values


def _bin(spectrum: np.ndarray, side: int) -> Densities:
    """[S, S/2 + 1] power over half the plane -> densities; each ring and angle is a sum, weighted for the other half."""
    u, v, weight = half_plane(side, side)
    radius, power = np.hypot(u, v), spectrum * weight
    rings = np.rint(radius * side).astype(int)
    radial = np.bincount(rings.ravel(), power.ravel())
    angles = np.floor(np.mod(np.arctan2(u, v), np.pi) / np.pi * ANGLES).astype(int) % ANGLES
    angular = np.bincount(angles.ravel(), (power * (radius > _LOWEST_ANGULAR_FREQUENCY)).ravel(), minlength=ANGLES)
    return Densities(np.arange(len(radial)) / side, radial, angular)
