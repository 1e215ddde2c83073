import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.report.fingerprints import Scale, correlation_scale, palette_of, picture, power_scale

SCALE = Scale("magma", -2.0, 2.0, "", "")


def pixels(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")).astype(int)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """CIE lightness L* of sRGB [...,3]."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_a_picture_has_a_pixel_for_each_value_in_its_place() -> None:
    values = np.full((5, 7), -2.0)
    values[1, 4] = 2.0
    bright = luminance(pixels(picture(values, SCALE)))
    assert bright.shape == (5, 7)
    assert np.unravel_index(bright.argmax(), bright.shape) == (1, 4)


def test_larger_values_are_lighter_in_equal_steps() -> None:
    steps = np.diff(luminance(pixels(picture(np.linspace(-2, 2, 9)[None], SCALE))[0]))
    assert steps.min() > 0.7 * steps.mean() > 0


def test_equal_values_have_equal_colours_in_every_picture_of_a_scale() -> None:
    one, other = np.array([[0.5, -1.0]]), np.array([[2.0, 0.5]])
    assert (pixels(picture(one, SCALE))[0, 0] == pixels(picture(other, SCALE))[0, 1]).all()


def test_what_lies_beyond_the_scale_has_the_colour_of_its_end() -> None:
    shown = pixels(picture(np.array([[-np.inf, -2.0, 2.0, 50.0]]), SCALE))[0]
    assert (shown[0] == shown[1]).all() and (shown[2] == shown[3]).all()


def test_no_correlation_is_neutral_whatever_the_range() -> None:
    rng = np.random.default_rng(0)
    autocorrelation = rng.normal(0.0, 0.01, (32, 32)) - 0.002
    autocorrelation[16, 16], autocorrelation[0, 0] = 1.0, 0.0
    scale = correlation_scale([autocorrelation])
    assert scale.low == -scale.high and scale.high < 0.05
    red, green, blue = pixels(picture(autocorrelation, scale))[0, 0]
    assert max(red, green, blue) - min(red, green, blue) < 8


def test_the_power_scale_spans_all_maps_in_decades() -> None:
    scale = power_scale([np.full((8, 8), 1e-3), np.full((8, 8), 10.0)])
    assert (scale.low, scale.high) == pytest.approx((-3.0, 1.0))
    assert "0.00100" in scale.low_name and "10.0" in scale.high_name


@pytest.mark.parametrize("power", [0.0, 4.0])
def test_maps_of_a_single_value_are_one_flat_colour(power: float) -> None:
    values = np.full((4, 4), power)
    with np.errstate(divide="ignore"):
        shown = pixels(picture(np.log10(values), power_scale([values])))
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 1


def test_a_single_pixel_has_no_neighbour_to_correlate_with() -> None:
    assert correlation_scale([np.ones((1, 1))]).high == 1.0


def test_a_colour_map_has_256_different_shades() -> None:
    assert len(np.unique(palette_of("magma"), axis=0)) == 256
