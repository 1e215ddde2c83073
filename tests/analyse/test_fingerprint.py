import numpy as np
import pytest
import scipy.ndimage
from analyse.sample_images import noise, smooth, to_pixels

from pipeline.analyse.denoise import wavelet
from pipeline.analyse.fingerprint import Fingerprint, fingerprint, residual_power


def blur(image: np.ndarray) -> np.ndarray:
    return scipy.ndimage.gaussian_filter(image, (1.0, 1.0, 0.0))


def fingerprint_of(images: list[np.ndarray], denoiser=wavelet) -> Fingerprint:
    return fingerprint(np.mean([residual_power(image, denoiser).astype(np.float64) for image in images], axis=0))


def residual(image: np.ndarray) -> np.ndarray:
    """[H,W,3] float64: what `blur` takes away."""
    values = image.astype(np.float32) / np.float32(255)
    return (values - blur(values)).astype(np.float64)


@pytest.mark.parametrize("side", [64, 63])
def test_the_power_is_the_mean_squared_residual(side: int) -> None:
    images = [noise(seed, side, side) for seed in range(3)]
    expected = np.mean([np.square(residual(image)) for image in images])
    found = fingerprint_of(images, blur)
    assert found.power == pytest.approx(expected, rel=1e-5)
    assert found.residual_spectrum.mean() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("side", [32, 33])
def test_the_spectrum_is_the_shifted_transform_of_the_residual(side: int) -> None:
    image = noise(1, side, side)
    transform = np.fft.fft2(residual(image), axes=(0, 1), norm="ortho")
    expected = np.fft.fftshift((np.abs(transform) ** 2).mean(axis=2))
    found = fingerprint_of([image], blur).residual_spectrum
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_the_autocorrelation_is_that_of_the_residual_shifted_pixel_by_pixel() -> None:
    image = noise(2, 16, 16)
    values = residual(image)
    products = [[np.vdot(values, np.roll(values, (y, x), (0, 1))) for x in range(-8, 8)] for y in range(-8, 8)]
    found = fingerprint_of([image], blur).autocorrelation
    np.testing.assert_allclose(found, np.array(products) / np.vdot(values, values), atol=1e-5)


def test_a_hidden_grid_shows_as_peaks_in_spectrum_and_autocorrelation() -> None:
    grid = 1.5 * np.cos(2 * np.pi * np.arange(256) / 3)[None, :, None]
    pictures = [to_pixels(smooth()) + np.random.default_rng(seed).normal(0, 3.0, (256, 256, 3)) + grid for seed in range(8)]
    found = fingerprint_of([np.clip(np.rint(picture), 0, 255).astype(np.uint8) for picture in pictures])
    peaks = np.argsort(found.residual_spectrum.ravel())[-2:]
    assert {tuple(int(i) - 111 for i in divmod(int(peak), 222)) for peak in peaks} == {(0, -74), (0, 74)}
    row = found.autocorrelation[111, 111:]
    assert min(row[[3, 6, 9, 12]]) > 0.04
    assert max(row[[1, 2, 4, 5, 7, 8]]) < 0.0


def test_white_noise_leaves_a_level_residual() -> None:
    grey = [128 + np.random.default_rng(seed).normal(0, 8.0, (256, 256, 3)) for seed in range(12)]
    found = fingerprint_of([np.rint(picture).astype(np.uint8) for picture in grey])
    band = (found.frequencies > 0.15) & (found.frequencies < 0.65)
    np.testing.assert_allclose(found.radial[band], (8.0 / 255) ** 2, rtol=0.12)
    beside = found.autocorrelation[111, 113:140]
    assert np.abs(beside).max() < 0.03


@pytest.mark.parametrize(("height", "width", "side"), [(512, 300, 222), (240, 240, 222), (64, 90, 64)])
def test_the_centre_is_kept_and_small_images_whole(height: int, width: int, side: int) -> None:
    assert fingerprint_of([noise(3, height, width)]).autocorrelation.shape == (side, side)


def test_what_a_denoiser_does_at_the_borders_is_cut_off() -> None:
    def spoils_borders(image: np.ndarray) -> np.ndarray:
        inner = np.zeros_like(image)
        inner[17:-17, 17:-17] = image[17:-17, 17:-17]
        return inner

    assert fingerprint_of([noise(4, 300, 300)], spoils_borders).power == 0.0


def test_images_without_noise_have_an_empty_fingerprint() -> None:
    found = fingerprint_of([np.full((64, 64, 3), 200, dtype=np.uint8)])
    assert found.power == pytest.approx(0.0, abs=1e-10)
    assert np.isfinite(found.autocorrelation).all()
