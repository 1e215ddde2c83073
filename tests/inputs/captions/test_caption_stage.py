"""From a raw folder to the folder that `dataset: folder` reads: resumable, and no file stops another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import raw_sets
from PIL import Image
from raw_sets import SaysNumbers, TagsAlike

from inputs.captions.jobs import job, says, tags, texts, tree
from pipeline.core.errors import UserError
from pipeline.inputs import raw_folder as folder
from pipeline.inputs.captions import parts, stage
from pipeline.inputs.captions.rules import LONG, MIDDLE, RULES, SHORT, count_words, prompt_set


@pytest.mark.parametrize(
    ("name", "first", "ending"),
    [
        ("pokemon", "0001", "sugimori ken (style), solo, red eyes, Bulbasaur"),
        ("celeba", "000001", "word"),
        ("kumapi", "illustrations-1", "solo, red eyes, Kumapi style"),
        ("butterfly", "0030001", "on hind wing by narrow yellow line"),
    ],
)
def test_each_set_goes_from_its_raw_layout_to_images_and_captions(tmp_path: Path, name: str, first: str, ending: str) -> None:
    raw, out = getattr(raw_sets, name)(tmp_path / "raw"), tmp_path / "out"
    outcome = stage.run(job(name, raw, out), says(SaysNumbers()), tags())
    captions = texts(out)
    assert captions == outcome.captions and outcome.problems == []
    assert captions[first].endswith(ending)
    assert {path.stem for path in out.glob("*.png")} == captions.keys() == parts.load(out).keys()
    assert all(Image.open(path).size == (32, 32) and Image.open(path).mode == "RGB" for path in out.glob("*.png"))
    if name == "butterfly":
        assert captions[first].startswith("a Crimson-patched Longwing butterfly word")


def test_a_second_run_writes_the_same_bytes_and_asks_no_model(tmp_path: Path) -> None:
    raw, out = raw_sets.pokemon(tmp_path / "raw"), tmp_path / "out"
    stage.run(job("pokemon", raw, out), says(SaysNumbers()), tags())
    before = tree(out)
    model = SaysNumbers()
    stage.run(job("pokemon", raw, out), says(model), tags())
    stage.run(job("pokemon", raw, out), None, None)
    assert model.seen == 0 and tree(out) == before


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    raw, out = raw_sets.celeba(tmp_path / "raw"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        stage.run(job("celeba", raw, out), says(SaysNumbers(fail_after=4)), None)
    model = SaysNumbers()
    stage.run(job("celeba", raw, out), says(model), None)
    assert model.seen == 2 and len(texts(out)) == 6
    stage.run(job("celeba", raw, tmp_path / "whole"), says(SaysNumbers()), None)
    assert tree(out) == tree(tmp_path / "whole")


def test_another_prompt_set_needs_no_model_when_its_parts_are_there(tmp_path: Path) -> None:
    raw, out = raw_sets.pokemon(tmp_path / "raw"), tmp_path / "out"
    stage.run(job("pokemon", raw, out, windows=(SHORT, LONG)), says(SaysNumbers()), tags())
    for form, words in (("short", 5), ("long", 50)):
        stage.run(job("pokemon", raw, out, rule=prompt_set(RULES["pokemon"], form)), None, None)
        assert {count_words(text) for text in texts(out).values()} == {words}
    stage.run(job("pokemon", raw, out, rule=prompt_set(RULES["pokemon"], "tags")), None, None)
    assert set(texts(out).values()) == {"solo, red eyes"}


def test_a_missing_model_is_said_with_the_part_and_the_option(tmp_path: Path) -> None:
    raw, out = raw_sets.pokemon(tmp_path / "raw"), tmp_path / "out"
    with pytest.raises(UserError, match="3 images have no BLIP's text of 50-75 words yet: .*--blip"):
        stage.run(job("pokemon", raw, out), None, tags())
    with pytest.raises(UserError, match="3 images have no tags yet: .*--tagger"):
        stage.run(job("pokemon", raw, out), says(SaysNumbers()), None)


def test_what_another_model_said_or_said_of_another_file_is_asked_again(tmp_path: Path) -> None:
    raw, out = raw_sets.celeba(tmp_path / "raw", 4), tmp_path / "out"
    stage.run(job("celeba", raw, out), says(SaysNumbers()), None)
    raw_sets.image(raw / "img_align_celeba/000002.jpg", 77)
    changed, other = SaysNumbers(), SaysNumbers()
    stage.run(job("celeba", raw, out), says(changed), None)
    stage.run(job("celeba", raw, out), says(other, "another"), None)
    assert (changed.seen, other.seen) == (1, 4)


def test_broken_files_are_listed_and_do_not_stop_the_rest_but_with_strict(tmp_path: Path) -> None:
    raw, out = raw_sets.butterfly(tmp_path / "raw"), tmp_path / "out"
    (raw / "leedsbutterfly/images/0030002.png").write_bytes(b"broken")
    (raw / "leedsbutterfly/descriptions/004.txt").unlink()
    with pytest.raises(UserError, match="2 problem.*0030002.png cannot be read.*descriptions/004.txt is missing"):
        stage.run(job("butterfly", raw, out, strict=True), says(SaysNumbers()), None)
    assert not out.exists()
    outcome = stage.run(job("butterfly", raw, out), says(SaysNumbers()), None)
    assert sorted(problem.file for problem in outcome.problems) == ["0030002.png", "descriptions/004.txt"]
    assert texts(out).keys() == {"0030001", "0040001"}


def test_corrections_are_read_before_any_image_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_sets.kumapi(tmp_path / "raw")
    monkeypatch.setattr(stage, "select_images", lambda *_: pytest.fail("an image was opened"))
    with pytest.raises(UserError, match="there is no file .*fix.csv"):
        stage.run(job("kumapi", raw, tmp_path / "out", overrides=tmp_path / "fix.csv"), None, None)


def test_both_missing_models_are_told_at_once_before_anything_is_written(tmp_path: Path) -> None:
    raw, out, model = raw_sets.pokemon(tmp_path / "raw"), tmp_path / "out", SaysNumbers()
    with pytest.raises(UserError, match="BLIP's text of 50-75 words and 3 images have no tags yet.*--blip and --tagger"):
        stage.run(job("pokemon", raw, out), None, None)
    with pytest.raises(UserError, match="3 images have no tags yet: .*--tagger"):
        stage.run(job("pokemon", raw, out), says(model), None)
    assert model.seen == 0 and not out.exists()


def test_a_caption_edited_by_hand_stays_until_overwrite(tmp_path: Path) -> None:
    raw, out = raw_sets.kumapi(tmp_path / "raw"), tmp_path / "out"
    stage.run(job("kumapi", raw, out), None, tags())
    (out / "illustrations-2.txt").write_text("two tiny hands, Kumapi style\n")
    outcome = stage.run(job("kumapi", raw, out, rule=prompt_set(RULES["kumapi"], "tags")), None, None)
    assert outcome.hand_edited == 1 and texts(out)["illustrations-2"] == "two tiny hands, Kumapi style"
    assert texts(out)["illustrations-1"] == "solo, red eyes"
    stage.run(job("kumapi", raw, out, overwrite=True), None, None)
    assert texts(out)["illustrations-2"] == "solo, red eyes, Kumapi style"


def test_corrections_from_a_table_need_no_model_for_what_they_say(tmp_path: Path) -> None:
    raw, out = raw_sets.kumapi(tmp_path / "raw"), tmp_path / "out"
    (tmp_path / "fix.csv").write_text('name,tags,caption\nillustrations-1,"food, donut",\nillustrations-2,,a donut\n')
    model = TagsAlike()
    stage.run(job("kumapi", raw, out, overrides=tmp_path / "fix.csv"), None, tags(model))
    assert model.seen == 1
    assert texts(out) == {
        "illustrations-1": "food, donut, Kumapi style", "illustrations-2": "a donut",
        "illustrations-10": "solo, red eyes, Kumapi style",
    }  # fmt: skip


def test_a_folder_of_ones_own_is_captioned_in_place_and_owners_captions_stay(tmp_path: Path) -> None:
    for number in (1, 2):
        raw_sets.image(tmp_path / f"{number}.png", number)
    (tmp_path / "1.txt").write_text("mine")
    before = (tmp_path / "1.png").read_bytes()
    rule = replace(RULES["folder"], parts=("blip",))
    model = SaysNumbers()
    stage.run(job("folder", tmp_path, tmp_path, rule=rule, size=None), says(model), None)
    assert model.seen == 1 and (tmp_path / "1.png").read_bytes() == before
    assert texts(tmp_path)["1"] == "mine" and count_words(texts(tmp_path)["2"]) == MIDDLE.least
    with pytest.raises(UserError, match="--size would change the images"):
        stage.run(job("folder", tmp_path, tmp_path), None, None)


def test_owners_captions_come_along_into_another_folder(tmp_path: Path) -> None:
    raw_sets.image(tmp_path / "raw/1.jpg", 1)
    (tmp_path / "raw/1.txt").write_text("mine")
    stage.run(job("folder", tmp_path / "raw", tmp_path / "out", size=None), None, None)
    assert texts(tmp_path / "out") == {"1": "mine"}
    assert (tmp_path / "out/1.jpg").read_bytes() == (tmp_path / "raw/1.jpg").read_bytes()


def test_images_of_another_selection_in_the_folder_are_refused(tmp_path: Path) -> None:
    raw, out = raw_sets.celeba(tmp_path / "raw"), tmp_path / "out"
    stage.run(job("celeba", raw, out, count=5), says(SaysNumbers()), None)
    with pytest.raises(UserError, match="holds 3 images that are not of this selection"):
        stage.run(job("celeba", raw, out, count=2), says(SaysNumbers()), None)


def test_captions_that_are_no_text_or_would_be_empty_are_listed(tmp_path: Path) -> None:
    raw, out = raw_sets.kumapi(tmp_path / "raw"), tmp_path / "out"
    stage.run(job("kumapi", raw, out), None, tags())
    (out / "illustrations-1.txt").write_bytes(b"\xff\xfe\x00")
    outcome = stage.run(job("kumapi", raw, out, rule=replace(RULES["kumapi"], parts=("name",))), None, None)
    assert "illustrations-1.txt is not UTF-8" in "\n".join(map(str, outcome.problems))
    assert "illustrations-2.txt is empty: no part" in "\n".join(map(str, outcome.problems))


def test_what_comes_out_is_what_a_chain_reads_as_its_folder(tmp_path: Path) -> None:
    raw, out = raw_sets.celeba(tmp_path / "raw", 4), tmp_path / "out"
    outcome = stage.run(job("celeba", raw, out), says(SaysNumbers()), None)
    images = folder.read_folder(out, 32, strict=True).images
    assert {image.name: image.caption for image in images} == outcome.captions
    assert all((image.pixels == np.asarray(Image.open(out / f"{image.name}.png"))).all() for image in images)
