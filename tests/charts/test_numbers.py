import pytest

from pipeline.charts.numbers import counted, plus_minus, short
from pipeline.charts.statistics import SeedMean


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (339.4, "339"),
        (1234.5, "1,234"),
        (48.23, "48.2"),
        (0.0312, "0.0312"),
        (0.0, "0.00"),
        (-2.5, "−2.50"),
        (None, "–"),
        (3e-9, "3.00e−09"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert short(value) == text


def test_counts_agree_with_their_nouns() -> None:
    assert (counted(1, "prompt"), counted(2, "prompt"), counted(1008, "prompt")) == (
        "one prompt",
        "two prompts",
        "1,008 prompts",
    )


def test_intervals_stand_behind_their_mean() -> None:
    assert [plus_minus(v) for v in (None, SeedMean(24.42, None, 1), SeedMean(24.42, 1.234, 3))] == [
        "–",
        "24.4",
        "24.4 ± 1.2",
    ]
