"""What people wrote stays, what an earlier run wrote does not, and each is known as what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import raw_sets
from raw_sets import SaysNumbers

from inputs.captions.jobs import job, says, tags, texts, tree
from pipeline.inputs.captions import output_folder, stage
from pipeline.inputs.captions.rules import RULES


def test_a_caption_of_an_earlier_prompt_set_goes_when_this_one_has_none_and_comes_back(tmp_path: Path) -> None:
    raw, out = raw_sets.kumapi(tmp_path / "raw"), tmp_path / "out"
    stage.run(job("kumapi", raw, out), None, tags())
    whole = tree(out)
    (out / "illustrations-2.txt").write_text("by hand\n")
    empty = replace(RULES["kumapi"], parts=("name",))
    outcome = stage.run(job("kumapi", raw, out, rule=empty), None, None)
    assert texts(out) == outcome.captions == {"illustrations-2": "by hand"}
    assert [path.name for path in out.glob("*.png")] == ["illustrations-2.png"]
    stage.run(job("kumapi", raw, out, overwrite=True, rule=empty), None, None)
    assert texts(out) == {"illustrations-2": "by hand"}
    stage.run(job("kumapi", raw, out, overwrite=True), None, None)
    assert tree(out) == whole


def test_in_a_folder_of_ones_own_only_the_caption_goes(tmp_path: Path) -> None:
    for number in (1, 2):
        raw_sets.image(tmp_path / f"{number}.png", number)
    (tmp_path / "2.txt").write_text("mine")
    in_place = job("folder", tmp_path, tmp_path, size=None)
    stage.run(in_place, says(SaysNumbers()), tags())
    stage.run(replace(in_place, rule=replace(RULES["folder"], parts=("name",))), None, None)
    assert texts(tmp_path) == {"2": "mine"} and len(list(tmp_path.glob("*.png"))) == 2


@pytest.mark.parametrize("written", [0, 1, 3])
def test_captions_of_a_run_that_was_stopped_while_it_wrote_them_are_not_taken_for_peoples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    raw, out = raw_sets.kumapi(tmp_path / "raw"), tmp_path / "out"
    stage.run(job("kumapi", raw, out), None, tags())
    before, count = texts(out), [0]

    def stops(path: Path, text: str) -> None:
        if count[0] == written:
            raise KeyboardInterrupt
        count[0] += 1
        path.write_text(text)

    tagged = replace(RULES["kumapi"], parts=("tags",))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(output_folder, "write_text", stops)
        stage.run(job("kumapi", raw, out, rule=tagged), None, None)
        raise KeyboardInterrupt
    assert sum(text == before[name] for name, text in texts(out).items()) == 3 - written
    outcome = stage.run(job("kumapi", raw, out, rule=replace(RULES["kumapi"], parts=("style",))), None, None)
    assert outcome.hand_edited == 0 and set(texts(out).values()) == {"Kumapi style"}


def test_a_correction_of_a_caption_that_was_edited_by_hand_is_listed(tmp_path: Path) -> None:
    raw, out = raw_sets.kumapi(tmp_path / "raw"), tmp_path / "out"
    stage.run(job("kumapi", raw, out), None, tags())
    (out / "illustrations-2.txt").write_text("two tiny hands\n")
    (tmp_path / "fix.csv").write_text("name,caption\nillustrations-1,a donut\nillustrations-2,a cat\n")
    fixed = job("kumapi", raw, out, overrides=tmp_path / "fix.csv")
    outcome = stage.run(fixed, None, None)
    assert [str(problem) for problem in outcome.problems] == [
        "illustrations-2.txt was written or edited by hand and stays, whatever fix.csv says; --overwrite lets that count"
    ]
    assert (texts(out)["illustrations-1"], texts(out)["illustrations-2"]) == ("a donut", "two tiny hands")
    assert stage.run(replace(fixed, overwrite=True), None, None).problems == []
    assert texts(out)["illustrations-2"] == "a cat"
