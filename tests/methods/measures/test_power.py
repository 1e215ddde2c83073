import colorsys

import numpy as np
import pytest

from pipeline.methods.measures.power import high_frequency_power
from pipeline.methods.measures.saturation import saturation

SIZES = [(64, 64), (32, 48), (33, 47)]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("cutoff", [0.0, 0.02, 0.13, 0.2, 0.4])
@pytest.mark.parametrize("size", [*SIZES, (63, 81), (120, 40)])
def test_it_is_equation_14_over_the_full_shifted_plane(size: tuple[int, int], cutoff: float) -> None:
    height, width = size
    image = noise(height, width, 1)
    r = np.hypot(
        np.arange(-(height // 2), (height + 1) // 2)[:, None] / height, np.arange(-(width // 2), (width + 1) // 2) / width
    )
    full = np.abs(np.fft.fftshift(np.fft.fft2(image / 255.0, axes=(0, 1)), axes=(0, 1))) ** 2 / (height * width) ** 2
    assert high_frequency_power(image, cutoff) == pytest.approx(full.mean(axis=2)[r > cutoff].sum(), rel=1e-5)


def test_a_wave_counts_only_above_the_cutoff() -> None:
    wave = np.rint(127.5 + 100 * np.cos(2 * np.pi * 8 * np.arange(64) / 64))
    image = np.broadcast_to(wave[None, :, None], (64, 64, 3)).astype(np.uint8)
    assert high_frequency_power(image, 0.12) == pytest.approx((100 / 255) ** 2 / 2, rel=1e-2)
    assert high_frequency_power(image, 0.13) < 1e-4


def test_a_flat_image_has_no_high_frequencies() -> None:
    assert high_frequency_power(np.full((64, 64, 3), 200, dtype=np.uint8)) == pytest.approx(0.0, abs=1e-12)


def test_saturation_is_that_of_hsv() -> None:
    image = noise(5, 7)
    image[0, 0] = 0
    expected = np.mean([colorsys.rgb_to_hsv(*(pixel / 255.0))[1] for pixel in image.reshape(-1, 3)])
    assert saturation(image) == pytest.approx(expected)
