"""Images with metadata.jsonl or metadata.csv: splits, rows that lack, and commas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import raw_sets

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.hub import fetch


@pytest.mark.parametrize("kind", ["metadata.jsonl", "metadata.csv"])
def test_rows_of_metadata_are_of_the_split_that_their_folders_name(tmp_path: Path, kind: str) -> None:
    for number, name in enumerate(("train/a.png", "test/a.png", "test/b.png", "test/c.png")):
        raw_sets.image(tmp_path / "set" / name, number)
    captions = {"train/a.png": "one", "test/a.png": "two, with a comma", "test/b.png": "three"}
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in captions.items()]
    if kind == "metadata.csv":
        lines = ["file_name,text", *(f'{name},"{text}"' for name, text in captions.items())]
    (tmp_path / "set" / kind).write_text("\n".join(lines) + "\n")
    count, problems, notices = fetch(str(tmp_path / "set"), tmp_path / "out", split="test")
    assert count == 2 and [str(problem) for problem in problems] == [
        f"test/c.png has no caption: no c.txt or c.caption in {tmp_path}/set/test, and no row in {kind}"
    ]
    assert notices == ["1 image(s) of the split train left out"]
    assert [(tmp_path / f"out/0000{i}.txt").read_text() for i in (0, 1)] == ["two, with a comma\n", "three\n"]
    assert fetch(str(tmp_path / "set"), tmp_path / "train")[:2] == (1, [])
    with pytest.raises(UserError, match="has no split 'validation'; it has test, train"):
        fetch(str(tmp_path / "set"), tmp_path / "none", split="validation")


@pytest.mark.parametrize("kind", ["metadata.jsonl", "text files"])
def test_a_set_that_names_no_split_is_train_alone(tmp_path: Path, kind: str) -> None:
    raw_sets.image(tmp_path / "set/a.png", 1)
    if kind == "metadata.jsonl":
        (tmp_path / "set/metadata.jsonl").write_text('{"file_name": "a.png", "text": "one"}\n')
    assert fetch(str(tmp_path / "set"), tmp_path / "out", caption=None if kind == "metadata.jsonl" else "")[:2] == (1, [])
    with pytest.raises(UserError, match="has no split 'test'; it has train: .* --split NAME"):
        fetch(str(tmp_path / "set"), tmp_path / "none", split="test")


def test_metadata_with_a_comma_too_many_is_refused_before_text_is_lost(tmp_path: Path) -> None:
    raw_sets.image(tmp_path / "set/a.png", 1)
    (tmp_path / "set/metadata.csv").write_text("file_name,text\na.png,one, two\n")
    with pytest.raises(UserError, match="metadata.csv has more cells than its 2 columns in line 2"):
        fetch(str(tmp_path / "set"), tmp_path / "out")
