"""A folder of one's own: squares by a policy, captions of a prompt set, and no file that stops another unless strict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import raw_sets
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.inputs.captions import parts
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.captions.rules import LONG, SHORT
from pipeline.inputs.raw_folder import RawImage, RawSet, read_folder
from pipeline.prepare import stage


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four images, a to d, with captions."""
    folder = tmp_path / "raw"
    for number, name in enumerate("abcd"):
        raw_sets.image(folder / f"{name}.png", number, (64, 64))
        (folder / f"{name}.txt").write_text(f"caption {name}")
    return folder


def break_one_of_each_kind(folder: Path) -> dict[str, str]:
    """{what the list must say: the file it is about}; only a and d stay usable."""
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:70])
    (folder / "c.txt").write_text("  \n")
    raw_sets.image(folder / "small.png", 9, (63, 200))
    (folder / "small.txt").write_text("too small")
    (folder / "empty.jpg").touch()
    (folder / "empty.txt").write_text("nothing")
    raw_sets.image(folder / "mute.png", 10, (64, 64))
    (folder / "lonely.txt").write_text("no image")
    (folder / "notes.pdf").write_text("?")
    raw_sets.image(folder / "twice.png", 11, (64, 64))
    raw_sets.image(folder / "twice.jpg", 12, (64, 64))
    (folder / "twice.txt").write_text("which?")
    return {
        "b.png cannot be read as an image": "b", "c.txt is empty": "c", "small.png is 63x200, smaller": "small",
        "empty.jpg is empty (0 bytes)": "empty", "mute.png has no caption": "mute", "lonely.txt has no image": "lonely",
        "notes.pdf is neither": "notes", "twice.jpg has the name of twice.png": "twice",
    }  # fmt: skip


def test_each_kind_of_broken_input_is_listed_and_the_rest_is_read(raw: Path) -> None:
    expected = break_one_of_each_kind(raw)
    found = read_folder(raw, 64)
    assert [image.name for image in found.images] == ["a", "d"]
    assert len(found.left_out) == len(expected)
    for sentence in expected:
        assert sum(line.startswith(sentence) for line in found.left_out) == 1, found.left_out


def test_strict_stops_with_the_same_list(raw: Path) -> None:
    break_one_of_each_kind(raw)
    left_out = read_folder(raw, 64).left_out
    with pytest.raises(UserError) as error:
        read_folder(raw, 64, strict=True)
    assert f"{raw} has 8 problem(s)" in str(error.value)
    assert all(line in str(error.value) for line in left_out)


def test_strict_keeps_the_whole_list_where_a_sentence_is_too_short_for_it(raw: Path, tmp_path: Path) -> None:
    for number in range(30):
        (raw / f"empty{number:02}.png").write_bytes(b"")
    log = tmp_path / "logs/prepare_0.log"
    with pytest.raises(UserError, match=r"problem\(s\); .*\(all are in .*prepare_0\.log\): .*and \d+ more"):
        read_folder(raw, 64, strict=True, log=log)
    assert {f"empty{number:02}.png" for number in range(30)} <= {line.split()[0] for line in log.read_text().splitlines()}


def test_a_broken_image_is_made_up_for_by_the_next_until_there_are_too_few(raw: Path) -> None:
    (raw / "b.png").write_bytes(b"?")
    assert [image.name for image in read_folder(raw, 64, limit=3).images] == ["a", "c", "d"]
    with pytest.raises(UserError, match=r"holds 3 usable images, but prompts is 4; .*at most 3 \(1 problem\(s\): b.png cannot"):
        read_folder(raw, 64, limit=4)
    for name in "acd":
        (raw / f"{name}.txt").unlink()
    with pytest.raises(UserError, match="holds no usable image; .*a.png has no caption"):
        read_folder(raw, 64)


def test_a_caption_that_is_a_link_out_of_the_folder_is_not_read_and_its_image_left_out(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("password")
    (raw / "b.txt").unlink()
    (raw / "b.txt").symlink_to(tmp_path / "secret")
    found = read_folder(raw, 64)
    assert [image.caption for image in found.images] == ["caption a", "caption c", "caption d"]
    assert len(found.left_out) == 2 and all(line.startswith(("b.png has no", "b.txt is a link out")) for line in found.left_out)


def test_images_that_show_the_same_are_named_and_kept(raw: Path) -> None:
    with Image.open(raw / "a.png") as image:
        image.save(raw / "e.bmp")
    (raw / "e.txt").write_text("the same again")
    found = read_folder(raw, 64)
    assert len(found.images) == 5 and found.copies == ["e shows the same as a"] and found.left_out == []


@pytest.mark.parametrize(
    ("fit", "left", "top", "middle"),
    [("crop", "blue", "blue", "blue"), ("pad", "red", "white", "blue"), ("squash", "red", "blue", "blue")],
)
def test_a_wide_image_becomes_a_square_by_the_policy(raw: Path, fit: str, left: str, top: str, middle: str) -> None:
    wide = Image.new("RGB", (256, 128), "red")
    wide.paste("blue", (64, 0, 192, 128))
    wide.save(raw / "a.png")
    pixels = read_folder(raw, 64, fit=fit).images[0].pixels
    colours = {"red": (255, 0, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    for place, colour in (((32, 3), left), ((3, 32), top), ((32, 32), middle)):
        np.testing.assert_allclose(pixels[place].astype(int), colours[colour], atol=3)


def test_padding_needs_only_the_longer_side_to_be_large_enough(raw: Path) -> None:
    raw_sets.image(raw / "a.png", 1, (64, 40))
    assert [image.name for image in read_folder(raw, 64).images] == ["b", "c", "d"]
    padded = read_folder(raw, 64, fit="pad").images
    assert [image.name for image in padded] == ["a", "b", "c", "d"] and (padded[0].pixels[:10] == 255).all()


def test_another_prompt_set_takes_its_captions_from_parts_and_not_from_the_text_files(raw: Path) -> None:
    rows = [Parts(name, f"{name}.png", "x", blip={SHORT.label: f"short {name}", LONG.label: f"long {name}"}) for name in "abc"]
    parts.save(raw, rows)
    (raw / "a.txt").unlink()
    found = read_folder(raw, 64, form="short")
    assert [image.caption for image in found.images] == ["short a", "short b", "short c"]
    assert found.left_out == ["d.png has no caption of the prompt set short in parts.jsonl"]
    assert [image.caption for image in read_folder(raw, 64, form="long").images] == ["long a", "long b", "long c"]
    assert [image.caption for image in read_folder(raw, 64).images] == ["caption b", "caption c", "caption d"]
    with pytest.raises(UserError, match="prompt_form tags: no image .* --form tags"):
        read_folder(raw, 64, form="tags")


def test_the_whole_list_is_in_the_log_and_its_beginning_on_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems, log = [f"{i:02d}.png is empty (0 bytes)" for i in range(30)], tmp_path / "logs/prepare_0.log"
    pixels = np.zeros((8, 8, 3), np.uint8)
    stage.report_problems(RawSet([RawImage("a", lambda: pixels, "a")], problems, ["b shows the same as a"]), "raw", log)
    said = capsys.readouterr().err
    assert "raw: 30 problem(s), left out: 00.png is empty" in said and "19.png" in said and "20.png" not in said
    assert "and 10 more" in said and "1 copies, kept: b shows the same as a" in said
    assert log.read_text().splitlines() == [*(f"left out: {line}" for line in problems), "kept: b shows the same as a"]
    stage.report_problems(RawSet(), "raw", log)
    assert not log.exists()
