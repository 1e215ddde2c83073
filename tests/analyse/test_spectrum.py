import numpy as np
import pytest

from pipeline.analyse.spectrum import densities, standardise


def wave(u: int, v: int, size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    values = np.rint(128 + 100 * np.cos(2 * np.pi * (u * y + v * x) / size))
    return np.repeat(values[..., None], 3, axis=2).astype(np.uint8)


def noise(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_rings_share_out_the_whole_power() -> None:
    assert densities([noise(0), noise(1)]).radial.sum() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(("u", "v"), [(0, 9), (9, 0), (6, 8), (6, -8)])
def test_a_wave_lies_in_the_ring_of_its_frequency(u: int, v: int) -> None:
    found = densities([wave(u, v)])
    ring = round(np.hypot(u, v))
    assert found.radial[ring] == pytest.approx(1.0, abs=1e-3)
    assert found.frequencies[ring] == ring / 64


@pytest.mark.parametrize(("u", "v", "degrees"), [(0, 9, 0), (9, 0, 90), (8, 8, 45), (8, -8, 135)])
def test_a_wave_lies_in_the_angle_of_its_direction(u: int, v: int, degrees: int) -> None:
    assert np.argmax(densities([wave(u, v)]).angular) == degrees * 16 // 180


def test_waves_slower_than_a_tenth_of_a_cycle_per_pixel_have_no_angle() -> None:
    assert densities([wave(0, 6)]).angular.sum() < 1e-3


def test_it_is_the_full_transform_binned_pixel_by_pixel() -> None:
    image = noise(2)
    spectrum = np.abs(np.fft.fft2(standardise(image), axes=(0, 1)) / 64**2) ** 2
    expected = np.zeros(64)
    for i, u in enumerate(np.fft.fftfreq(64)):
        for j, v in enumerate(np.fft.fftfreq(64)):
            expected[round(np.hypot(u, v) * 64)] += spectrum[i, j].mean()
    np.testing.assert_allclose(densities([image]).radial, expected[:46], rtol=1e-4, atol=1e-12)


def test_brightness_and_contrast_do_not_matter() -> None:
    image = noise(3) // 2
    np.testing.assert_allclose(densities([image]).radial, densities([image + 90]).radial, rtol=1e-4)


def test_images_are_standardised() -> None:
    values = standardise(noise(4, 300, 520))
    assert values.shape == (256, 256, 3)
    assert values.mean() == pytest.approx(0.0, abs=1e-12)
    assert np.square(values).mean() == pytest.approx(1.0)


def test_a_flat_image_has_no_power() -> None:
    assert densities([np.full((64, 64, 3), 9, dtype=np.uint8)]).radial.sum() == 0.0


@pytest.mark.parametrize(("images", "message"), [([], "at least one"), ([noise(5), noise(5, 32, 32)], "one size")])
def test_images_without_a_common_spectrum_are_refused(images: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        densities(images)
