"""The corpus: some 200 things that people bring, each with the pixels, the caption or the sentence that must come of it.

`pytest tests/hostile -k corpus` prints it as a table of input, expected and got.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hostile.corpus import captions, colors, folders, images, models, parameters, prompts
from hostile.corpus.row import Row
from hostile.workplace import Workplace

CORPUS: list[Row] = [
    row for part in (images, colors, captions, folders, prompts, models, parameters) for row in part.ROWS
]  # fmt: skip


@pytest.mark.parametrize("row", CORPUS, ids=[row.input for row in CORPUS])
def test_corpus(place: Workplace, tiny_model: Path, row: Row, record_property: Callable[[str, object], None]) -> None:
    (place.root / "tiny").symlink_to(tiny_model)
    record_property("corpus", [row.input, str(row.expected), "nothing of the kind"])
    row.bring(place)
    got = row.expected.got(place, row.command)
    record_property("corpus", [row.input, str(row.expected), got])


def test_the_corpus_has_many_inputs_and_each_once() -> None:
    assert len(CORPUS) >= 120 and len({row.input for row in CORPUS}) == len(CORPUS)
