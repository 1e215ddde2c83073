import pipeline.core.compat  # noqa: F401  (before torch_fidelity, which imports torchvision)

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity import metric_fid as fidelity

from pipeline.methods.measures.frechet import frechet_distance, real_floor


def sample(seed: int, count: int, width: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, scale, (count, width)) @ rng.normal(0.0, 1.0, (width, width))


@pytest.mark.parametrize(("n", "m", "width"), [(90, 70, 12), (40, 60, 50), (20, 25, 64)], ids=["tall", "near square", "wide"])
def test_it_agrees_with_torch_fidelity(n: int, m: int, width: int) -> None:
    generated, real = sample(1, n, width, 0.5, 1.3), sample(2, m, width)
    statistics = [fidelity.fid_features_to_statistics(torch.from_numpy(x)) for x in (generated, real)]
    published = fidelity.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert frechet_distance(generated, real) == pytest.approx(published, rel=1e-5)


def test_it_agrees_with_the_matrix_root_of_scipy() -> None:
    generated, real = sample(3, 400, 32, 0.2), sample(4, 300, 32)
    covariances = np.cov(generated, rowvar=False), np.cov(real, rowvar=False)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.square(generated.mean(0) - real.mean(0)).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(generated, real) == pytest.approx(expected, rel=1e-9)


def test_two_gaussians_on_a_line_have_the_closed_form_distance() -> None:
    generated, real = np.array([[0.0], [2.0], [4.0]]), np.array([[9.0], [10.0], [11.0]])
    assert frechet_distance(generated, real) == pytest.approx((10 - 2) ** 2 + (2 - 1) ** 2)


def test_a_set_is_at_distance_zero_from_itself_in_any_order() -> None:
    features = sample(5, 30, 64)
    assert frechet_distance(features, features[::-1]) == pytest.approx(0.0, abs=1e-8 * np.square(features).sum())


def test_a_rotation_of_feature_space_changes_nothing() -> None:
    generated, real = sample(6, 50, 10, 1.0), sample(7, 40, 10)
    rotation = scipy.linalg.qr(np.random.default_rng(8).normal(size=(10, 10)))[0]
    assert frechet_distance(generated @ rotation, real @ rotation) == pytest.approx(frechet_distance(generated, real))


def test_a_set_collapsed_to_one_point_is_a_legal_set() -> None:
    real = sample(9, 50, 8)
    collapsed = np.repeat(real.mean(axis=0)[None], 20, axis=0)
    assert frechet_distance(collapsed, real) == pytest.approx(np.trace(np.cov(real, rowvar=False)))


@pytest.mark.parametrize("shape", [(1, 4), (5, 3), (4,)], ids=["one row", "another width", "a vector"])
def test_sets_that_cannot_be_compared_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="features must be"):
        frechet_distance(np.zeros(shape), np.zeros((5, 4)))


def test_the_floor_is_the_distance_of_halves_and_shrinks_with_more_images() -> None:
    rng = np.random.default_rng(10)
    small, half_of_small = real_floor(rng.normal(size=(200, 16)))
    large, half_of_large = real_floor(rng.normal(size=(1600, 16)))
    assert (half_of_small, half_of_large) == (100, 800)
    assert small / large == pytest.approx(8.0, rel=0.3)


def test_the_floor_is_below_the_distance_to_other_images_and_repeats_itself() -> None:
    real = sample(11, 101, 16)
    floor, half = real_floor(real)
    assert half == 50
    assert 0.0 < floor < frechet_distance(real + 2.0 * np.std(real), real)
    assert real_floor(real) == (floor, half)


def test_a_floor_of_three_images_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        real_floor(np.zeros((3, 2)))
