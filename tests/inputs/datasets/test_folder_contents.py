"""Litter, odd names and odd encodings: alike for the check, the chain, fetching and captioning."""

from __future__ import annotations

import os
import subprocess
import unicodedata
from pathlib import Path

import pytest
import raw_sets
from click.testing import CliRunner

from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.inputs.datasets.catalogue import DATASETS
from pipeline.inputs.datasets.hub import fetch
from pipeline.inputs.raw_folder import examine_folder, read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images with captions."""
    raw = tmp_path / "raw"
    for number, name in enumerate("ab"):
        raw_sets.image(raw / f"{name}.png", number, (64, 64))
        (raw / f"{name}.txt").write_text(f"caption {name}")
    return raw


LITTER = [
    "._a.png", "._a.txt", ".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.INI", "Icon\r",
    ".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/._a.png", "__MACOSX/sub/._b.png",
    "a.png:Zone.Identifier", "a.pngZone.Identifier", "a.npz", "a_0512x0512_sd.npz", "a_te_outputs.npz", ".git/config",
    ".cache/huggingface/x.lock", "$RECYCLE.BIN/x.png", "#recycle/x.png", "System Volume Information/x", ".Spotlight-V100/x",
    "a.txt~", ".a.txt.swp", ".directory", "~$list.xlsx", ".thumbnails/x.png", "lost+found/x", ".~lock.list.csv#",
    "IMG_1.AAE", "a.xmp", "a.png.xmp", "a.pp3", "a.png_original", "Network Trash Folder/x.png", "FOUND.000/x.png",
]  # fmt: skip


@pytest.mark.parametrize("name", LITTER)
def test_what_systems_and_programs_leave_is_ignored_alike_everywhere_and_counted(
    folder: Path, tmp_path: Path, name: str
) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    raw_sets.image(tmp_path / "other.png", 9, (64, 64)).rename(folder / name)
    found, fetched, listing = examine_folder(folder, 64), fetch(str(folder), tmp_path / "out"), DATASETS["folder"].read(folder)
    assert [image.name for image in found.images] == [item.name for item in listing.items] == ["a", "b"] and fetched.images == 2
    assert found.left_out == fetched.problems == listing.problems == []
    for notices in (found.notices, fetched.notices, listing.notices):
        assert len(notices) == 1 and notices[0].startswith("1 file(s) or folder(s) that systems and programs leave behind")
    checked = CliRunner().invoke(main, ["dataset", "check", "folder", str(folder), "--strict"])
    assert checked.exit_code == 0 and "1 file(s) or folder(s)" in checked.output and "2 usable images" in checked.output


@pytest.mark.parametrize("name", LITTER[:10])
def test_layouts_of_known_sets_ignore_the_same(tmp_path: Path, name: str) -> None:
    place = raw_sets.kumapi(tmp_path) / "illustrations"
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(b"x")
    found = DATASETS["kumapi"].read(tmp_path)
    assert len(found.items) == 3 and found.problems == [] and len(found.litter) == 1


@pytest.mark.parametrize(
    "name", ["notes.pdf", "clip.mp4", "a.gif", "more.zip", "weights.safetensors", "copy of a", "a.json", ".png"]
)
def test_what_a_person_put_there_by_mistake_is_a_problem_everywhere(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    assert [line.split(" is ")[0] for line in examine_folder(folder, 64).left_out] == [name]
    assert [problem.file for problem in fetch(str(folder), tmp_path / "out").problems] == [name]
    assert [problem.file for problem in DATASETS["folder"].read(folder).problems] == [name]
    with pytest.raises(UserError, match="has 1 problem"):
        read_folder(folder, 64, strict=True)


@pytest.mark.parametrize(
    ("name", "next_step"),
    [
        ("c.tif", "convert it to PNG"),
        ("c.HEIC", "convert it to PNG"),
        ("c.avif", "convert it to PNG"),
        (".c.png.icloud", "download it"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named_with_what_to_do(folder: Path, name: str, next_step: str) -> None:
    (folder / name).write_bytes(b"x")
    (line,) = examine_folder(folder, 64).left_out
    assert line.startswith(f"{name} ") and line.endswith(next_step)


@pytest.mark.parametrize("word", ["café", "ｶﾞ한국", "Å-ñ-é"])
@pytest.mark.parametrize("suffix", [".txt", ".caption", ".TXT"])
def test_names_pair_in_any_unicode_form(folder: Path, tmp_path: Path, word: str, suffix: str) -> None:
    composed, apart = (unicodedata.normalize(form, word) for form in ("NFC", "NFD"))
    assert composed != apart
    raw_sets.image(folder / f"{composed}.png", 5, (64, 64))
    (folder / f"{apart}{suffix}").write_text("found")
    found = examine_folder(folder, 64)
    assert [image.caption for image in found.images] == ["caption a", "caption b", "found"] and found.left_out == []
    (folder / "metadata.csv").write_text(f"file_name,text\n{apart}.png,found\na.png,caption a\nb.png,caption b\n")
    assert examine_folder(folder, 64).left_out == []
    assert fetch(str(folder), tmp_path / "out")[:2] == (3, [])


ENCODED = {
    "UTF-8": "häß".encode(), "UTF-8 with its mark": "häß".encode("utf-8-sig"), "UTF-16": "häß".encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + "häß".encode("utf-16-be"), "UTF-32": "häß".encode("utf-32"),
}  # fmt: skip
REFUSED = {
    "cp1252": ("häß".encode("cp1252"), "is not UTF-8 text"), "cp932": ("日本語".encode("cp932"), "is not UTF-8 text"),
    "GBK": ("图像".encode("gbk"), "is not UTF-8 text"), "cut in a letter": ("häß".encode()[:-1], "is not UTF-8 text"),
    "UTF-16 cut": ("häß".encode("utf-16")[:-1], "is not UTF-8 text"),
    "a lost letter": ("h\ufffd".encode(), "holds U+FFFD at position 2"),
}  # fmt: skip


@pytest.mark.parametrize("content", ENCODED.values(), ids=list(ENCODED))
@pytest.mark.parametrize("suffix", [".txt", ".caption"])
def test_captions_are_read_in_every_encoding_that_says_what_it_is(
    folder: Path, tmp_path: Path, content: bytes, suffix: str
) -> None:
    (folder / "a.txt").unlink()
    (folder / f"a{suffix}").write_bytes(content)
    assert [image.caption for image in examine_folder(folder, 64).images] == ["häß", "caption b"]
    assert fetch(str(folder), tmp_path / "out")[:2] == (2, [])
    assert (tmp_path / "out/00000.txt").read_text(encoding="utf-8") == "häß\n"


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_a_caption_in_another_encoding_is_named_by_all_and_written_by_none(
    folder: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    (folder / "a.txt").write_bytes(content)
    found, fetched = examine_folder(folder, 64), fetch(str(folder), tmp_path / "out")
    for problems in (found.left_out, list(map(str, fetched.problems))):
        assert len(problems) == 1 and problems[0].startswith(f"a.txt {reason}")
    assert [image.name for image in found.images] == ["b"] and not (tmp_path / "out/00000.txt").exists()
    with pytest.raises(UserError, match="a.txt"):
        fetch(str(folder), tmp_path / "strict", strict=True)


def test_a_lost_letter_is_named_in_tables_too(folder: Path, tmp_path: Path) -> None:
    raw_sets.image(folder / "c.png", 5, (64, 64))
    (folder / "metadata.csv").write_text("file_name,text\nc.png,caf\ufffd\n")
    assert [line.split(" at ")[0] for line in examine_folder(folder, 64).left_out] == [
        "c.png has a caption in metadata.csv that holds U+FFFD"
    ]
    assert len(fetch(str(folder), tmp_path / "out").problems) == 1


def test_links_are_followed_inside_a_folder_and_into_the_hubs_cache_and_nowhere_else(folder: Path, tmp_path: Path) -> None:
    blob = tmp_path / "datasets--x--y/blobs" / ("0a" * 20)
    raw_sets.image(tmp_path / "made.png", 7, (64, 64))
    blob.parent.mkdir(parents=True)
    (tmp_path / "made.png").rename(blob)
    (folder / "c.png").symlink_to(blob)
    (folder / "c.txt").write_text("of the hub")
    raw_sets.image(tmp_path / "elsewhere/d.png", 8, (64, 64))
    (folder / "d.png").symlink_to(tmp_path / "elsewhere/d.png")
    (folder / "all").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    found, fetched = examine_folder(folder, 64), fetch(str(folder), tmp_path / "out")
    assert [image.name for image in found.images] == ["a", "b", "c"] and fetched.images == 3
    assert found.left_out == sorted(map(str, fetched.problems))
    assert [line.split(" is ")[0] for line in found.left_out] == ["all", "d.png", "loop"]


def test_folders_may_nest_deeper_than_calls_do(folder: Path) -> None:
    here = os.getcwd()
    os.chdir(folder)
    try:
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        assert len(examine_folder(folder, 64).images) == 2
    finally:
        os.chdir(here)
        # Python's own rmtree calls itself for each level.
        subprocess.run(["rm", "-r", str(folder / "d")], check=True)
