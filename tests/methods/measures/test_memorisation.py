import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special

from pipeline.core import distances
from pipeline.methods.measures.entropy import copy_distance, entropy
from pipeline.methods.measures.generalisation import generalisation_score


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_the_score_is_the_mean_distance_to_the_nearest_training_image() -> None:
    generated, training = normal(0, 40, 9), normal(1, 70, 9)
    expected = scipy.spatial.distance.cdist(generated, training).min(axis=1).mean()
    assert generalisation_score(generated, training) == pytest.approx(expected)


def test_copies_of_training_images_score_exactly_zero() -> None:
    training = normal(2, 50, 64).astype(np.float32) * 30
    assert generalisation_score(training[[3, 3, 48]], training) == 0.0


def test_it_looks_from_the_generated_images_not_from_the_training_images() -> None:
    training = np.array([[0.0, 0.0], [9.0, 0.0]])
    assert generalisation_score(np.array([[0.0, 1.0]]), training) == pytest.approx(1.0)


@pytest.mark.parametrize("gamma", [1, 3])
def test_the_entropy_of_a_uniform_square_is_the_logarithm_of_its_area(gamma: int) -> None:
    points = np.random.default_rng(3).random((4000, 2)) * [2.0, 5.0]
    assert entropy(points, gamma=gamma) == pytest.approx(np.log(10.0), abs=0.06)


def test_the_entropy_of_a_gaussian_is_its_closed_form() -> None:
    deviations = np.array([0.5, 1.0, 3.0])
    expected = 1.5 * np.log(2 * np.pi * np.e) + np.log(deviations).sum()
    assert entropy(normal(4, 4000, 3) * deviations) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("gamma", [1, 4])
def test_it_is_the_formula_written_out(gamma: int) -> None:
    points = normal(5, 60, 128)
    eps = np.sort(scipy.spatial.distance.cdist(points, points), axis=1)[:, gamma]
    log_ball = 64 * np.log(np.pi) - scipy.special.loggamma(65)
    expected = scipy.special.psi(60) - scipy.special.psi(gamma) + log_ball + 128 / 60 * np.log(eps).sum()
    assert entropy(points, gamma=gamma) == pytest.approx(expected)


@pytest.mark.parametrize("factor", [0.01, 7.0])
def test_scaling_adds_the_logarithm_once_a_dimension(factor: float) -> None:
    points = normal(6, 200, 16)
    assert entropy(factor * points) == pytest.approx(entropy(points) + 16 * np.log(factor))


def test_a_set_that_draws_together_loses_entropy() -> None:
    points = normal(7, 200, 16)
    towards_a_few = points[np.arange(200) % 5] + 0.1 * points
    assert entropy(towards_a_few) < entropy(points)


def test_a_copy_counts_as_a_neighbour_at_the_distance_of_copies() -> None:
    with_copies = np.array([[0.0], [0.0], [10.0], [13.0]])
    like = np.array([[0.0], [0.25], [10.0], [13.0]])
    assert entropy(with_copies, 0.25) == pytest.approx(entropy(like))


def test_more_copies_never_raise_the_entropy() -> None:
    points = normal(7, 40, 8)
    copy = copy_distance(points)
    collapsing = [np.vstack([np.repeat(points[:1], n, axis=0), points[n:]]) for n in range(1, 40)]
    found = [entropy(features, copy) for features in collapsing]
    assert all(later < earlier for earlier, later in zip(found, found[1:], strict=False))


def test_images_are_copies_far_below_the_usual_distance() -> None:
    assert copy_distance(np.array([[0.0], [1.0], [3.0], [7.0]])) == pytest.approx(0.0015)


@pytest.mark.parametrize("points", [np.ones((6, 4), np.float32) * 0.1, np.repeat(normal(8, 3, 4), 2, axis=0)])
def test_a_set_of_nothing_but_copies_has_no_entropy(points: np.ndarray) -> None:
    assert entropy(points) is None


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    generated, training = normal(9, 50, 8), normal(10, 64, 8)
    whole = generalisation_score(generated, training), entropy(training, gamma=2)
    monkeypatch.setattr(distances, "BLOCK", 7)
    assert (generalisation_score(generated, training), entropy(training, gamma=2)) == pytest.approx(whole)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="more images"):
        entropy(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="both sets"):
        generalisation_score(np.zeros((3, 2)), np.zeros((0, 2)))
