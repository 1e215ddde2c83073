import numpy as np
from charts.drawings import pixels

from pipeline.charts.heatmap import ColourScale, colour_map, heatmap

SCALE = ColourScale("magma", -2.0, 2.0, "", "")


def luminance(rgb: np.ndarray) -> np.ndarray:
    """CIE lightness L* of sRGB [...,3]."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_a_heat_map_has_a_pixel_for_each_value_in_its_place() -> None:
    values = np.full((5, 7), -2.0)
    values[1, 4] = 2.0
    bright = luminance(pixels(heatmap(values, SCALE)))
    assert bright.shape == (5, 7)
    assert np.unravel_index(bright.argmax(), bright.shape) == (1, 4)


def test_larger_values_are_lighter_in_equal_steps() -> None:
    steps = np.diff(luminance(pixels(heatmap(np.linspace(-2, 2, 9)[None], SCALE))[0]))
    assert steps.min() > 0.7 * steps.mean() > 0


def test_equal_values_have_equal_colours_in_every_map_of_a_scale() -> None:
    one, other = np.array([[0.5, -1.0]]), np.array([[2.0, 0.5]])
    assert (pixels(heatmap(one, SCALE))[0, 0] == pixels(heatmap(other, SCALE))[0, 1]).all()


def test_what_lies_beyond_the_scale_has_the_colour_of_its_end() -> None:
    shown = pixels(heatmap(np.array([[-np.inf, -2.0, 2.0, 50.0]]), SCALE))[0]
    assert (shown[0] == shown[1]).all() and (shown[2] == shown[3]).all()


def test_a_colour_map_has_256_different_shades() -> None:
    assert len(np.unique(colour_map("magma"), axis=0)) == 256


def test_the_colour_maps_are_those_of_matplotlib_and_colorbrewer() -> None:
    dark, bright = colour_map("magma")[[0, 255]].tolist()
    assert (dark, bright) == ([0, 0, 4], [252, 253, 191])
    blue, white, red = colour_map("red_blue")[[0, 127, 255]].tolist()
    assert (blue, red) == ([5, 48, 97], [103, 0, 31]) and min(white) > 240
