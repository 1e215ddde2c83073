import numpy as np
import pytest

from pipeline.charts.embedding import tsne


def cloud(seed: int, centre: float, count: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, 1.0, (count, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def sets() -> list[np.ndarray]:
    return [cloud(0, 0.0), cloud(1, 20.0, 40)]


@pytest.fixture(scope="module")
def positions(sets: list[np.ndarray]) -> list[np.ndarray]:
    return tsne(sets)


def test_every_point_of_every_set_has_a_place(positions: list[np.ndarray]) -> None:
    assert [(found.shape, found.dtype) for found in positions] == [((60, 2), np.float64), ((40, 2), np.float64)]


def test_far_sets_stay_apart(positions: list[np.ndarray]) -> None:
    near, far = positions
    gap = np.linalg.norm(near.mean(axis=0) - far.mean(axis=0))
    assert gap > 2 * max(np.linalg.norm(found - found.mean(axis=0), axis=1).mean() for found in positions)


def test_the_same_sets_give_the_same_map(sets: list[np.ndarray], positions: list[np.ndarray]) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(tsne(sets), positions, strict=True))


def test_a_limit_is_shared_out_evenly_over_the_rows() -> None:
    found = tsne([cloud(2, 0.0, 60), cloud(3, 5.0, 30)], limit=30)
    assert [len(positions) for positions in found] == [20, 10]


def test_sets_of_one_length_keep_the_same_rows() -> None:
    rows = cloud(4, 0.0, 50)
    first, second = tsne([rows, rows + np.float32(1e-4)], limit=20)
    apart = np.linalg.norm(first[:, None] - first[None], axis=2)[np.triu_indices(10, 1)].mean()
    assert np.linalg.norm(first - second, axis=1).max() < 0.5 * apart


def test_equal_features_lie_at_one_point() -> None:
    assert all(not found.any() for found in tsne([np.ones((8, 5)), np.ones((3, 5))]))


@pytest.mark.parametrize("sets", [[], [np.ones((3, 5))], [np.ones((9, 5)), np.ones((9, 4))]])
def test_too_few_points_or_several_widths_are_refused(sets: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="4 points of one width"):
        tsne(sets)
