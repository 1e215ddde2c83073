import math

import pytest

from pipeline.report.figures import correlation


def test_a_score_that_is_exponential_in_the_entropy_correlates_fully() -> None:
    entropies = [5.0, 3.0, -1.0, 2.0]
    assert correlation(entropies, [math.exp(0.3 * entropy) for entropy in entropies]) == pytest.approx(1.0)
    assert correlation(entropies, [math.exp(-2.0 * entropy) for entropy in entropies]) == pytest.approx(-1.0)


def test_a_symmetric_score_does_not_correlate() -> None:
    assert correlation([-1.0, 0.0, 1.0], [2.0, 9.0, 2.0]) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("entropies", "scores"),
    [
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, None, 3.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [0.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0]),
        ([], []),
    ],
    ids=["two pairs", "no entropy", "no score", "constant", "nothing"],
)
def test_too_little_gives_no_correlation(entropies: list[float | None], scores: list[float | None]) -> None:
    assert correlation(entropies, scores) is None
