"""Names, links and hidden text of images; what single images come to is in the corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hostile.corpus.images import bad, encoded
from hostile.workplace import Workplace, picture
from PIL import Image, PngImagePlugin

from pipeline.core.json_files import read_jsonl
from pipeline.inputs.raw_folder import read_folder


def sixteen_bit() -> bytes:
    """A grey ramp of 256 steps of 257: as 8 bits it is 0, 1, ..., 255."""
    ramp = np.arange(256, dtype=np.uint16) * 257
    return encoded("PNG", Image.fromarray(np.broadcast_to(ramp, (256, 256)).copy()))


def test_sixteen_bits_of_grey_become_eight_without_clipping(tmp_path: Path) -> None:
    for name in "ab":
        bad(sixteen_bit(), f"{name}.png")(tmp_path)
    pixels = read_folder(tmp_path, 256).images[0].pixels
    np.testing.assert_array_equal(pixels[7], np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))


ODD_NAMES = ["with space", "quo'te\"s", "two\nlines", "ünï ☃ 图", "-rf", "..", "$(touch x); rm -rf *", "%s{0}", "[[datasets]]"]


def test_names_of_any_kind_are_only_names(place: Workplace) -> None:
    for name in ODD_NAMES:
        picture().save(place.raw / f"{name}.png", "PNG")
        (place.raw / f"{name}.txt").write_text("a caption")
    before = sorted([*place.root.iterdir(), place.root / "logs"])
    place.run("prepare")
    assert sorted(row["name"] for row in read_jsonl(place.root / "data/prompts.jsonl")) == sorted([*ODD_NAMES, "a", "b"])
    assert len(list((place.root / "data/D_0").glob("0*.png"))) == len(ODD_NAMES) + 2
    assert sorted(place.root.iterdir()) == before


def test_links_inside_the_folder_and_of_dvcs_cache_are_followed(place: Workplace, tmp_path: Path) -> None:
    cached = tmp_path / "cache/files/md5/0a" / ("b" * 30)
    cached.parent.mkdir(parents=True)
    picture().save(cached, "PNG")
    (place.raw / "c.png").symlink_to("a.png")
    (place.raw / "d.png").symlink_to(cached)
    for name in "cd":
        (place.raw / f"{name}.txt").write_text("a caption")
    place.run("prepare")
    assert len(read_jsonl(place.root / "data/prompts.jsonl")) == 4


def test_hidden_text_and_profiles_of_an_image_do_not_reach_the_set(place: Workplace) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("secret", "my address")
    picture().save(place.raw / "c.png", pnginfo=info)
    (place.raw / "c.txt").write_text("a caption")
    place.run("prepare")
    assert not any(b"secret" in path.read_bytes() for path in (place.root / "data/D_0").iterdir())
