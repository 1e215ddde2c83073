import numpy as np
import pytest
import scipy.stats

from pipeline.analyse.latents import distribution


def values(size: int = 20_000) -> np.ndarray:
    return np.random.default_rng(0).laplace(0.4, 1.0, size).astype(np.float32)


def test_variance_and_kurtosis_are_those_of_all_values() -> None:
    found = distribution(np.array_split(values(), 7))
    assert found.variance == pytest.approx(values().astype(np.float64).var())
    assert found.kurtosis == pytest.approx(scipy.stats.kurtosis(values().astype(np.float64), fisher=False))


def test_the_density_integrates_to_the_share_of_values_in_range() -> None:
    found = distribution([values()])
    width = found.centres[1] - found.centres[0]
    assert found.density.sum() * width == pytest.approx(np.mean(np.abs(values()) <= 6.0))
    assert found.density[found.centres > 0.4][0] == pytest.approx(0.5, rel=0.15)


def test_bins_are_the_same_for_every_iteration() -> None:
    np.testing.assert_array_equal(distribution([values()]).centres, distribution([values() * 3]).centres)


def test_equal_values_have_no_kurtosis() -> None:
    assert distribution([np.ones((2, 3))]).kurtosis is None


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        distribution([])
