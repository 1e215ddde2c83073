import numpy as np
import pytest
import scipy.stats

from pipeline.analyse.latents import distribution


def values(size: int = 20_000) -> np.ndarray:
    return np.random.default_rng(0).laplace(0.4, 1.0, size).astype(np.float32)


def test_mean_variance_and_kurtosis_are_those_of_all_values() -> None:
    found = distribution(np.array_split(values(), 7))
    assert found.mean == pytest.approx(values().astype(np.float64).mean())
    assert found.variance == pytest.approx(values().astype(np.float64).var())
    assert found.kurtosis == pytest.approx(scipy.stats.kurtosis(values().astype(np.float64), fisher=False))


def test_the_density_integrates_to_the_share_of_values_in_range() -> None:
    found = distribution([values()])
    width = found.centres[1] - found.centres[0]
    assert found.density.sum() * width == pytest.approx(np.mean(np.abs(values()) <= 6.0))
    assert found.density[found.centres > 0.4][0] == pytest.approx(0.5, rel=0.15)


def test_bins_are_the_same_for_every_iteration() -> None:
    np.testing.assert_array_equal(distribution([values()]).centres, distribution([values() * 3]).centres)


def test_the_gaussian_has_the_mean_and_variance_of_the_values() -> None:
    found = distribution([values()])
    fitted = scipy.stats.norm(values().astype(np.float64).mean(), values().astype(np.float64).std())
    np.testing.assert_allclose(found.gaussian, fitted.pdf(found.centres), rtol=1e-9)


def test_gaussian_values_lie_on_their_gaussian() -> None:
    found = distribution([np.random.default_rng(1).normal(-0.5, 1.3, 400_000)])
    np.testing.assert_allclose(found.density, found.gaussian, atol=0.005)


def test_equal_values_have_no_kurtosis_and_no_gaussian() -> None:
    found = distribution([np.ones((2, 3))])
    assert found.kurtosis is None
    assert not found.gaussian.any()


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        distribution([])
