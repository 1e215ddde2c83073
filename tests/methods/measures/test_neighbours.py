import pipeline.core.compat  # noqa: F401  (before torch_fidelity, which imports torchvision)

import numpy as np
import pytest
import torch
from torch_fidelity import metric_prc as published

from pipeline.core import distances
from pipeline.methods.measures.neighbours import share_inside


def precision_recall(generated: np.ndarray, real: np.ndarray, neighbours: int) -> tuple[float, float]:
    return share_inside(generated, real, neighbours), share_inside(real, generated, neighbours)


def clouds(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 0.7, (60, 6)), rng.normal(0.0, 1.0, (80, 6))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_agrees_with_torch_fidelity_where_nothing_is_tied(k: int) -> None:
    generated, real = clouds()
    theirs = published.calculate_precision_recall_full(torch.from_numpy(generated), torch.from_numpy(real), k)
    assert precision_recall(generated, real, k) == pytest.approx(theirs)


def test_it_agrees_with_a_loop_over_every_pair() -> None:
    generated, real = clouds(1)

    def share(points: np.ndarray, manifold: np.ndarray) -> float:
        radii = [sorted(float(np.linalg.norm(m - other)) for other in manifold)[5] for m in manifold]
        hits = [any(np.linalg.norm(p - m) < r for m, r in zip(manifold, radii, strict=True)) for p in points]
        return sum(hits) / len(hits)

    assert precision_recall(generated, real, 5) == (share(generated, real), share(real, generated))


def test_collapse_takes_recall_and_leaves_precision() -> None:
    _, real = clouds()
    collapsed = np.repeat(real[np.argmin(np.linalg.norm(real, axis=1))][None], 40, axis=0)
    assert precision_recall(collapsed, real, 5) == (1.0, 0.0)


def test_far_away_images_take_both() -> None:
    generated, real = clouds()
    assert precision_recall(generated + 100.0, real, 5) == (0.0, 0.0)


def test_the_same_set_has_both_in_full() -> None:
    _, real = clouds()
    assert precision_recall(real, real, 5) == (1.0, 1.0)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    generated, real = clouds(2)
    whole = precision_recall(generated, real, 5)
    monkeypatch.setattr(distances, "BLOCK", 7)
    assert precision_recall(generated, real, 5) == whole


def test_a_large_common_offset_does_not_drown_small_distances() -> None:
    generated, real = clouds(3)
    assert precision_recall(generated * 1e-3 + 1e4, real * 1e-3 + 1e4, 5) == precision_recall(generated, real, 5)


def test_as_many_neighbours_as_images_are_refused() -> None:
    with pytest.raises(ValueError, match="more images"):
        precision_recall(np.zeros((5, 2)), np.zeros((9, 2)), 5)
