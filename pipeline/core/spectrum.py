"""Power spectra of images: what measure and analyse share."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft


def power_spectrum(pixels: np.ndarray) -> np.ndarray:
    """Return |F(u,v)|^2 of [H,W,C] float (eq. 13), averaged over channels, over half the plane: [H, W/2 + 1] float32.

    Divided by (HW)^2, so that the sum over the whole plane is the mean squared pixel (Parseval), whatever the size.
    """
    height, width, _ = pixels.shape
    # Channels first: the transform runs along memory, several times faster.
    spectrum = scipy.fft.rfft2(np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32))
    return (np.square(spectrum.real) + np.square(spectrum.imag)).mean(axis=0) / np.float32(height * width) ** 2


@lru_cache(maxsize=8)
def half_plane(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (u / H, v / W, weight), each [H, W/2 + 1]: signed frequencies of the shifted spectrum in cycles per pixel.

    The weight, 1 or 2, counts the conjugate half that a real transform leaves out.
    """
    u, v = np.meshgrid(scipy.fft.fftfreq(height), scipy.fft.rfftfreq(width), indexing="ij")
    once = (v == 0.0) | (v == 0.5)
    return u, v, np.where(once, 1.0, 2.0)
