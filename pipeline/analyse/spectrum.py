"""Radial and angular power densities of images (section G.3; formulas of Corvi et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.core.spectrum import half_plane, power_spectrum

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


def standard_spectrum(image: np.ndarray) -> np.ndarray:
    """Return [H,W,3] uint8, standardised, as `power_spectrum` [S, S/2 + 1]; the whole plane sums to 1."""
    return power_spectrum(standardise(image))


def standardise(image: np.ndarray) -> np.ndarray:
    """Standardise [H,W,3] uint8 -> [S,S,3] float32: short side shrunk to 256 by area, centre crop, zero mean, unit RMS.

    A smaller image keeps its size, since enlarging it would invent a spectrum. A flat image gives zeros.
    """
    short = min(image.shape[:2])
    if short > SIDE:
        height, width = (round(length * SIDE / short) for length in image.shape[:2])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    values = centre_crop(image, SIDE).astype(np.float32)
    mean, deviation = (value.ravel() for value in cv2.meanStdDev(values))
    rms = np.sqrt(np.square(deviation).mean())
    return (values - mean.astype(np.float32)) / np.float32(rms if rms > 0 else 1.0)


def centre_crop(image: np.ndarray, side: int) -> np.ndarray:
    """Cut out of [H,W,...] its central square of `side` pixels, or of the shorter side where that is less."""
    height, width = image.shape[:2]
    side = min(side, height, width)
    above, left = (height - side) // 2, (width - side) // 2
    return image[above : above + side, left : left + side]


def densities(spectrum: np.ndarray) -> Densities:
    """Return densities of power [S, S/2 + 1] over half the plane; each ring or angle is a sum, weighted for the other half."""
    side = len(spectrum)
    u, v, weight = half_plane(side, side)
    power = spectrum * weight
    radial = np.bincount(_rings(side), power.ravel())
    angles = np.floor(np.mod(np.arctan2(u, v), np.pi) / np.pi * ANGLES).astype(int) % ANGLES
    high = np.hypot(u, v) > _LOWEST_ANGULAR_FREQUENCY
    angular = np.bincount(angles.ravel(), (power * high).ravel(), minlength=ANGLES)
    return Densities(np.arange(len(radial)) / side, radial, angular)


def radial_mean(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average power [S, S/2 + 1] over half the plane in rings -> (frequencies [R], power [R]); white noise is level."""
    side = len(spectrum)
    weight = half_plane(side, side)[2].ravel()
    rings = _rings(side)
    mean = np.bincount(rings, spectrum.ravel() * weight) / np.bincount(rings, weight)
    return np.arange(len(mean)) / side, mean


def _rings(side: int) -> np.ndarray:
    u, v, _ = half_plane(side, side)
    return np.rint(np.hypot(u, v) * side).astype(int).ravel()
