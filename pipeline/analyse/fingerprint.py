"""Fingerprints of a generator: spectrum and autocorrelation of what a denoiser takes away (section G.4; Corvi et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from pipeline.analyse.denoise import Denoiser
from pipeline.analyse.spectrum import centre_crop, radial_mean
from pipeline.core.spectrum import half_plane, power_spectrum

SIDE = 222
MARGIN = 17
"""Pixels around the kept square that are denoised with it and cut off, because a denoiser errs at borders."""


@dataclass(frozen=True)
class Fingerprint:
    """`power`: mean squared residual (RGB in 0..1). `radial` [R]: mean of the spectrum in the ring round(r S) = i, at
    `frequencies`[i] = i / S cycles per pixel. The maps [S,S] float32 have zero frequency and zero shift at [S//2, S//2]:
    `residual_spectrum` is |FFT2 ortho(residual)|^2, level at the variance for white noise; `autocorrelation` is 1 at zero
    shift (0 everywhere where nothing was taken away)."""

    power: float
    frequencies: np.ndarray
    radial: np.ndarray
    residual_spectrum: np.ndarray
    autocorrelation: np.ndarray


def residual_power(image: np.ndarray, denoiser: Denoiser) -> np.ndarray:
    """Return |FFT2 ortho(residual)|^2 over half the plane, averaged over R, G, B: [S, S/2 + 1] float32.

    The residual is image - denoised, pixels in 0..1, on the central 222x222 pixels, or the largest square where the
    image is smaller (that has no margin left to denoise in).
    """
    around = centre_crop(image, SIDE + 2 * MARGIN).astype(np.float32) / np.float32(255)
    residual = centre_crop(around - denoiser(around), SIDE)
    return power_spectrum(residual) * np.float32(len(residual) ** 2)


def fingerprint(mean_power: np.ndarray) -> Fingerprint:
    """Turn the mean of `residual_power` over images [S, S/2 + 1] into the set's fingerprint."""
    side = len(mean_power)
    frequencies, radial = radial_mean(mean_power)
    correlation = scipy.fft.fftshift(scipy.fft.irfft2(mean_power, (side, side)))
    peak = correlation[side // 2, side // 2]
    return Fingerprint(
        power=float(np.vdot(half_plane(side, side)[2], mean_power)) / side**2,
        frequencies=frequencies,
        radial=radial,
        residual_spectrum=scipy.fft.fftshift(_whole_plane(mean_power)).astype(np.float32),
        autocorrelation=(correlation / peak if peak > 0 else correlation).astype(np.float32),
    )


def _whole_plane(half: np.ndarray) -> np.ndarray:
    """Complete [S, S/2 + 1] to [S,S]: a real signal's power at (-u, -v) is that at (u, v)."""
    side, columns = half.shape
    opposite = -np.arange(side) % side
    return np.hstack([half, half[np.ix_(opposite, opposite[columns:])]])
