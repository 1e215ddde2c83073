"""Running out of memory while sampling: the batch is cut, that is said once, and the images stay what they are."""

from __future__ import annotations

import pytest

from pipeline.core.errors import UserError
from pipeline.sample.memory import ShrinkingBatches


def memory_for(limit: int, calls: list[tuple[int, int]]):
    """Work that holds at most `limit` rows at a time, as torch on a GPU says it."""

    def work(rows: slice) -> list[int]:
        calls.append((rows.start, rows.stop))
        if rows.stop - rows.start > limit:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return list(range(rows.start, rows.stop))

    return work


@pytest.mark.parametrize(("limit", "rows"), [(16, 16), (15, 8), (5, 4), (1, 1)])
def test_every_row_is_done_once_and_in_order_whatever_fits(limit: int, rows: int) -> None:
    pieces = ShrinkingBatches("sample D_1", 16)
    done = pieces.each(memory_for(limit, []), 37)
    assert [row for piece in done for row in piece] == list(range(37))
    assert pieces.rows == rows


def test_what_has_failed_once_is_not_tried_again() -> None:
    calls: list[tuple[int, int]] = []
    pieces = ShrinkingBatches("sample D_1", 8)
    pieces.each(memory_for(2, calls), 8)
    first = len(calls)
    pieces.each(memory_for(2, calls), 8)
    assert calls[first:] == [(0, 2), (2, 4), (4, 6), (6, 8)]


def test_a_lower_number_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = ShrinkingBatches("sample D_1", 8)
    for _ in range(3):
        pieces.each(memory_for(2, []), 8)
    said = capsys.readouterr().err
    assert said == "sample D_1: out of memory with 8 images at a time, going on with 2\n"


def test_one_image_that_does_not_fit_names_the_knobs() -> None:
    with pytest.raises(UserError, match="out of memory with a single image; set precision: fp16 or resolution lower"):
        ShrinkingBatches("sample D_1", 4).each(memory_for(0, []), 4)


def test_other_errors_are_not_mistaken_for_memory() -> None:
    def broken(rows: slice) -> int:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        ShrinkingBatches("sample D_1", 4).each(broken, 4)
