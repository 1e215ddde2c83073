import numpy as np
import pytest
from charts.drawings import pixels

from pipeline.charts.heatmap import heatmap
from pipeline.report.fingerprints import correlation_scale, power_scale


def test_no_correlation_is_neutral_whatever_the_range() -> None:
    rng = np.random.default_rng(0)
    autocorrelation = rng.normal(0.0, 0.01, (32, 32)) - 0.002
    autocorrelation[16, 16], autocorrelation[0, 0] = 1.0, 0.0
    scale = correlation_scale([autocorrelation])
    assert scale.low == -scale.high and scale.high < 0.05
    red, green, blue = pixels(heatmap(autocorrelation, scale))[0, 0]
    assert max(red, green, blue) - min(red, green, blue) < 8


def test_the_power_scale_spans_all_maps_in_decades() -> None:
    scale = power_scale([np.full((8, 8), 1e-3), np.full((8, 8), 10.0)])
    assert (scale.low, scale.high) == pytest.approx((-3.0, 1.0))
    assert "0.00100" in scale.low_name and "10.0" in scale.high_name


@pytest.mark.parametrize("power", [0.0, 4.0])
def test_maps_of_a_single_value_are_one_flat_colour(power: float) -> None:
    values = np.full((4, 4), power)
    with np.errstate(divide="ignore"):
        shown = pixels(heatmap(np.log10(values), power_scale([values])))
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 1


def test_a_single_pixel_has_no_neighbour_to_correlate_with() -> None:
    assert correlation_scale([np.ones((1, 1))]).high == 1.0
