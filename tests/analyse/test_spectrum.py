import numpy as np
import pytest
from analyse.sample_images import noise, wave

from pipeline.analyse.spectrum import Densities, densities, radial_mean, standard_spectrum, standardise


def densities_of(*images: np.ndarray) -> Densities:
    return densities(np.mean([standard_spectrum(image).astype(np.float64) for image in images], axis=0))


def test_the_rings_share_out_the_whole_power() -> None:
    assert densities_of(noise(0), noise(1)).radial.sum() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(("u", "v"), [(0, 9), (9, 0), (6, 8), (6, -8)])
def test_a_wave_lies_in_the_ring_of_its_frequency(u: int, v: int) -> None:
    found = densities_of(wave(u, v))
    ring = round(np.hypot(u, v))
    assert found.radial[ring] == pytest.approx(1.0, abs=1e-3)
    assert found.frequencies[ring] == ring / 64


@pytest.mark.parametrize(("u", "v", "degrees"), [(0, 9, 0), (9, 0, 90), (8, 8, 45), (8, -8, 135)])
def test_a_wave_lies_in_the_angle_of_its_direction(u: int, v: int, degrees: int) -> None:
    assert np.argmax(densities_of(wave(u, v)).angular) == degrees * 16 // 180


def test_waves_slower_than_a_tenth_of_a_cycle_per_pixel_have_no_angle() -> None:
    assert densities_of(wave(0, 6)).angular.sum() < 1e-3


def test_it_is_the_full_transform_binned_pixel_by_pixel() -> None:
    image = noise(2)
    spectrum = np.abs(np.fft.fft2(standardise(image), axes=(0, 1)) / 64**2) ** 2
    expected = np.zeros(64)
    for i, u in enumerate(np.fft.fftfreq(64)):
        for j, v in enumerate(np.fft.fftfreq(64)):
            expected[round(np.hypot(u, v) * 64)] += spectrum[i, j].mean()
    np.testing.assert_allclose(densities_of(image).radial, expected[:46], rtol=1e-4, atol=1e-12)


def test_brightness_and_contrast_do_not_matter() -> None:
    image = noise(3) // 2
    np.testing.assert_allclose(densities_of(image).radial, densities_of(image + 90).radial, rtol=1e-4)


def test_images_are_standardised() -> None:
    values = standardise(noise(4, 300, 520))
    assert values.shape == (256, 256, 3)
    assert values.mean() == pytest.approx(0.0, abs=1e-6)
    assert np.square(values).mean() == pytest.approx(1.0, rel=1e-5)


def test_a_flat_image_has_no_power() -> None:
    assert densities_of(np.full((64, 64, 3), 9, dtype=np.uint8)).radial.sum() == 0.0


def test_white_noise_has_the_same_mean_power_in_every_ring() -> None:
    spectrum = np.mean([standard_spectrum(noise(seed)) for seed in range(40)], axis=0)
    frequencies, mean = radial_mean(spectrum)
    np.testing.assert_allclose(mean[1:], 1 / 64**2, rtol=0.2)
    assert frequencies[-1] == pytest.approx(np.hypot(0.5, 0.5), abs=1 / 64)
