"""What people have in a raw folder: `redifine caption` and `dataset` name every bad file, and go on with the others."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import raw_sets
from click.testing import CliRunner
from hostile.workplace import Workplace
from PIL import Image

from pipeline.cli.application import main
from pipeline.inputs.captions import parts
from pipeline.inputs.datasets.catalogue import dataset
from pipeline.inputs.datasets.images import open_image
from pipeline.inputs.datasets.selection import expected_count, select_images

STYLE_ALONE = ("--parts", "style", "--size", "64")


@pytest.fixture
def place(place: Workplace, tiny_model: Path) -> Workplace:
    """With a base model whose tokenizer can count."""
    place.set(model=str(tiny_model))
    return place


def run(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code and (done.exception is None or isinstance(done.exception, SystemExit)), done.output
    return done.output


def own_folder(place: Workplace) -> Path:
    """Two images without captions, in a folder of one's own."""
    folder = place.root / "mine"
    for number in (1, 2):
        raw_sets.image(folder / f"{number}.png", number, (64, 64))
    return folder


BAD_NAMES = {
    "Shift-JIS": (b"\x83C\x83\x89.png", "has a name that is not UTF-8; rename it"),
    "escape": (b"a\x1b[2J.png", "has a name that holds the control character U+001B at position 2; rename it"),
    "turned around": ("a\u202egnp.png".encode(), "has a name that holds the invisible character U+202E at position 2"),
    "backslash": (b"a\\b.png", "has a name that holds a backslash; rename it"),
    "long": (b"a" * 240 + b".png", "has a name that is longer than 200 bytes; rename it"),
}


@pytest.mark.parametrize(("name", "reason"), BAD_NAMES.values(), ids=list(BAD_NAMES))
def test_a_name_that_cannot_be_kept_is_listed_and_stops_no_other(place: Workplace, name: bytes, reason: str) -> None:
    raw = raw_sets.kumapi(place.root / "kumapi")
    content = raw_sets.image(place.root / "another.png", 77).read_bytes()
    Path(os.fsdecode(os.fsencode(raw / "illustrations") + b"/" + name)).write_bytes(content)
    checked = run("dataset", "check", "kumapi", raw)
    assert reason in checked and "3 usable images of 4" in checked and "1 problem(s)" in checked
    for _ in range(2):
        done = run("dataset", "prepare", "kumapi", raw, *STYLE_ALONE)
        assert reason in done and "3 captions" in done and "3 images in data/D_0" in done
        assert reason in (place.root / "logs/caption_0.log").read_text()
    assert len(parts.load(place.root / "raw/kumapi")) == 3
    assert reason in place.refused("dataset", "prepare", "kumapi", str(raw), *STYLE_ALONE, "--strict")


def test_a_folder_whose_name_is_not_utf_8_is_part_of_its_images_names(place: Workplace) -> None:
    raw = raw_sets.kumapi(place.root / "kumapi")
    Path(os.fsdecode(os.fsencode(raw) + b"/\x83C")).mkdir()
    Path(os.fsdecode(os.fsencode(raw) + b"/\x83C/9.png")).write_bytes(raw_sets.image(place.root / "9.png", 9).read_bytes())
    done = run("dataset", "prepare", "kumapi", raw, *STYLE_ALONE)
    assert "9.png has a name that is not UTF-8" in done and "3 images in data/D_0" in done


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1879010464\n"


@pytest.mark.parametrize("kind", ["pointer", "half", "empty"])
def test_a_blip_that_did_not_come_whole_is_named_before_it_says_anything(place: Workplace, kind: str) -> None:
    from small_captioners import write_blip

    weights = write_blip(place.root / "blip") / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes({"pointer": POINTER, "half": whole[: len(whole) // 2], "empty": b""}[kind])
    refused = place.refused("caption", str(own_folder(place)), "--blip", "blip", "--parts", "blip", "--device", "cpu")
    assert refused.startswith("cannot load a BLIP from blip: ") and refused.endswith("; fetch it again (safetensors)")


BAD_CAPTIONS = {
    "Latin-1": (b"caf\xe9", "is not UTF-8 text; save it as UTF-8"),
    "6,000 characters": (b"red " * 1500, "is longer than the 5,000 characters that a caption may have"),
    "10,000 characters": (b"red " * 25_000, "is longer than the 5,000 characters that a caption may have"),
    "NUL": (b"a\0b", "holds the control character U+0000 at position 2"),
    "turned around": ("a \u202ekcab".encode(), "holds the invisible character U+202E at position 3, which turns text around"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_CAPTIONS.values(), ids=list(BAD_CAPTIONS))
def test_a_caption_that_a_chain_would_refuse_is_listed_stays_and_stops_with_strict(
    place: Workplace, content: bytes, reason: str
) -> None:
    folder = own_folder(place)
    (folder / "1.txt").write_bytes(content)
    assert f"1.txt {reason}" in run("dataset", "check", "folder", folder)
    styled = ("--parts", "style", "--style", "a style")
    assert f"1.txt {reason}" in place.refused("caption", str(folder), *styled, "--strict")
    assert not (folder / "2.txt").exists() and not (folder / parts.NAME).exists()
    done = run("caption", folder, *styled)
    assert f"1.txt {reason}; fix it, or --overwrite writes it again" in done and "1 captions" in done
    assert (folder / "1.txt").read_bytes() == content and (folder / "2.txt").read_text() == "a style\n"
    assert "0 problem(s)" in run("caption", folder, *styled, "--overwrite")
    assert (folder / "1.txt").read_text() == "a style\n"


def test_a_bad_caption_beside_a_raw_image_does_not_come_along(place: Workplace) -> None:
    folder = own_folder(place)
    (folder / "1.txt").write_bytes(b"caf\xe9")
    raw_sets.image(folder / "3.png", 3, (64, 64))
    done = run("dataset", "prepare", "folder", folder, "--out", "raw/mine", "--parts", "style", "--style", "a style")
    assert "1.txt is not UTF-8 text" in done and "2 images in data/D_0" in done
    assert (folder / "1.txt").read_bytes() == b"caf\xe9" and not (place.root / "raw/mine/1.txt").exists()


def test_a_caption_that_is_made_and_is_none_stops_with_strict_before_any_is_written(place: Workplace) -> None:
    folder = own_folder(place)
    refused = place.refused("caption", str(folder), "--parts", "style", "--style", "a\x1b[2J", "--strict")
    assert "mine has 2 problem(s)" in refused and "1.txt holds the control character U+001B" in refused
    assert not list(folder.glob("*.txt"))


def test_captions_of_any_case_are_their_owners(place: Workplace) -> None:
    folder = own_folder(place)
    (folder / "1.TXT").write_text("mine")
    (folder / "2.Txt").write_text("")
    done = run("dataset", "prepare", "folder", folder, "--parts", "style", "--style", "a style")
    assert "0 problem(s)" in done and "2 images in data/D_0" in done
    assert {path.name: path.read_text().strip() for path in folder.glob("*.[tT]*")} == {"1.TXT": "mine", "2.Txt": "a style"}
    run("caption", folder, "--out", "elsewhere", "--parts", "style", "--style", "a style")
    assert (place.root / "elsewhere/1.txt").read_text() == "mine"


def test_of_two_captions_of_one_image_the_first_counts_and_the_other_is_listed(place: Workplace) -> None:
    folder = own_folder(place)
    (folder / "1.TXT").write_text("first")
    (folder / "1.txt").write_text("second")
    reason = "1.txt is another caption of 1.png, for which 1.TXT counts"
    assert "1.png has 2 captions that differ, in 1.TXT and 1.txt; keep one" in run("dataset", "check", "folder", folder)
    assert reason in run("caption", folder, "--out", "elsewhere", "--parts", "style", "--style", "a style")
    assert (place.root / "elsewhere/1.txt").read_text() == "first"


@pytest.mark.parametrize(("name", "below"), [("folder", ""), ("kumapi", "illustrations")])
def test_what_is_named_as_an_image_and_is_no_file_is_listed(place: Workplace, name: str, below: str) -> None:
    raw = own_folder(place) if name == "folder" else raw_sets.kumapi(place.root / "kumapi")
    (raw / below / "7.png").mkdir()
    os.mkfifo(raw / below / "8.png")
    os.mkfifo(raw / below / "pipe")
    listed = run("dataset", "check", name, raw).splitlines()
    assert "7.png is a folder, though it is named as an image" in listed
    assert any(line.startswith("8.png is no plain file") for line in listed)
    assert any(line.startswith("pipe is no plain file") for line in listed)


def test_a_caption_that_is_a_folder_or_a_pipe_is_listed(place: Workplace) -> None:
    folder = own_folder(place)
    (folder / "1.txt").mkdir()
    os.mkfifo(folder / "2.txt")
    done = run("caption", folder, "--parts", "style", "--style", "a style")
    assert all(f"{number}.txt is no plain file, so it is no caption" in done for number in (1, 2))


@pytest.mark.parametrize("count", [None, 1, 3, 6, 20])
@pytest.mark.parametrize("broken", [0, 2, 5])
def test_progress_ends_where_it_was_said_to(tmp_path: Path, count: int | None, broken: int) -> None:
    for number in range(8):
        raw_sets.image(tmp_path / f"{number}.png", number)
    for number in range(broken):
        (tmp_path / f"{number}.png").write_bytes(b"")
    found, steps = dataset("folder").read(tmp_path), list[int]()
    chosen, _ = select_images(found, count, seen=steps.append)
    assert sum(steps) == expected_count(found, count) == min(count or 8, 8)
    assert len(chosen) == min(count or 8, 8 - broken)


def test_damaged_exif_data_of_a_whole_image_says_nothing(tmp_path: Path) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with Image.open(tmp_path / "a.jpg") as image:
            image.getexif()
    assert any("Corrupt EXIF data" in str(warning.message) for warning in said)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert open_image(tmp_path / "a.jpg").size == (8, 8)
    assert said == []
