import numpy as np
import pytest

from pipeline.methods.measures.clip_score import clip_score
from pipeline.methods.measures.collapse_rate import collapse_rate
from pipeline.methods.measures.sfd import sfd


def test_the_clip_score_is_a_hundred_for_parallel_and_nothing_for_opposite_embeddings() -> None:
    prompts = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    images = np.array([[5.0, 0.0], [-5.0, 0.0], [0.0, 3.0]])
    assert clip_score(images, prompts) == pytest.approx((100 + 0 + 100 / np.sqrt(2)) / 3)


def test_a_prompt_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="every image needs its prompt"):
        clip_score(np.ones((3, 2)), np.ones((2, 2)))


def test_sfd_pairs_images_by_prompt_and_not_by_row() -> None:
    real = np.array([[0.0, 0.0], [10.0, 0.0]])
    generated = np.array([[10.0, 3.0], [0.0, 4.0], [6.0, 8.0]])
    assert sfd(generated, real, [1, 0, 0], [0, 1]) == pytest.approx((3 + 4 + 10) / 3)


def test_sfd_refuses_a_prompt_without_a_real_image() -> None:
    with pytest.raises(ValueError, match=r"\[7\]"):
        sfd(np.zeros((1, 2)), np.zeros((1, 2)), [7], [0])


@pytest.mark.parametrize(
    ("first", "last", "k", "rate"), [(100.0, 350.0, 6, 50.0), (100.0, 90.0, 2, -10.0), (100.0, 100.0, 1, None)]
)
def test_the_collapse_rate_is_the_growth_per_iteration(first: float, last: float, k: int, rate: float | None) -> None:
    assert collapse_rate(first, last, k) == rate
