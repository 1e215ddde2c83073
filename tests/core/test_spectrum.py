import numpy as np
import pytest

from pipeline.core.spectrum import half_plane, power_spectrum


@pytest.mark.parametrize("size", [(64, 64), (32, 48), (33, 47)])
def test_the_whole_spectrum_adds_up_to_the_mean_squared_pixel(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)) / 255.0
    total = (power_spectrum(pixels) * half_plane(*size)[2]).sum()
    assert total == pytest.approx(np.square(pixels).mean(), rel=1e-5)
