"""Shards: what is in them, where, and what is said of a damaged one."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.chain.image_sets import load_checked, read_manifest, write_set
from pipeline.chain.paths import Layout
from pipeline.chain.shards import LOOSE, Sharding, read_stored, write_shard
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes
from pipeline.core.images import encode_png
from pipeline.core.json_files import write_jsonl

ROWS = [
    {"file": f"{i:05d}.png", "prompt_index": i, "image_index": 0, "prompt": f"ünïcode {i}", "seed": 7 * i} for i in range(5)
]


def png(i: int) -> bytes:
    return encode_png(np.full((8 + i, 8, 3), 40 * i, np.uint8))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """D_1 with five images in shards of two."""
    found = Layout(tmp_path)
    found.images(1).mkdir(parents=True)
    write_set(found.images(1), 1, ROWS, png, Sharding(above=4, size=2))
    return found


def test_a_set_is_sharded_above_the_threshold_and_not_at_it() -> None:
    assert Sharding(above=5, size=2).parts(5) == []
    assert Sharding(above=4, size=2).parts(5) == [range(0, 2), range(2, 4), range(4, 5)]
    assert LOOSE.parts(10**9) == []


def test_the_files_of_an_image_stand_together_without_time_or_owner(layout: Layout) -> None:
    with tarfile.open(layout.images(1) / "D_1-000001.tar") as tar:
        members = tar.getmembers()
        facts = json.load(tar.extractfile("00003.json"))  # type: ignore[arg-type]
    assert [member.name for member in members] == [f"0000{i}.{kind}" for i in (2, 3) for kind in ("json", "png", "txt")]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in members} == {(0, 0, 0, "", 0o644)}
    assert facts == {"generation": 1, "image_index": 0, "prompt_index": 3, "seed": 21, "sha256": sha256_bytes(png(3))}


def test_the_recorded_place_is_where_the_archive_has_the_image(layout: Layout) -> None:
    for row in read_manifest(layout, 1):
        with tarfile.open(layout.images(1) / row["shard"]) as tar:
            member = tar.getmember(row["file"])
        assert (row["offset"], row["size"]) == (member.offset_data, member.size)
        assert read_stored(layout.images(1), row) == png(row["prompt_index"])


def test_equal_images_give_equal_bytes(tmp_path: Path) -> None:
    images = [({**row, "sha256": sha256_bytes(png(i))}, png(i)) for i, row in enumerate(ROWS)]
    first = write_shard(tmp_path / "a/D_1-000000.tar", images, 1)
    second = write_shard(tmp_path / "b/D_1-000000.tar", iter(images), 1)
    assert first == second
    assert (tmp_path / "a/D_1-000000.tar").read_bytes() == (tmp_path / "b/D_1-000000.tar").read_bytes()


def test_one_image_is_read_without_its_neighbours(layout: Layout) -> None:
    row = read_manifest(layout, 1)[3]
    shard = layout.images(1) / row["shard"]
    content = bytearray(shard.read_bytes())
    kept = slice(row["offset"], row["offset"] + row["size"])
    blank = bytearray(len(content))
    blank[kept] = content[kept]
    shard.write_bytes(blank)
    assert load_checked(layout.images(1), row).shape == (11, 8, 3)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("flipped", r"00003.png \(in D_1-000001.tar\) is not the image that its manifest.jsonl records|00003.png is damaged"),
        ("cut off", "00003.png is damaged or no image; restore D_1"),
        ("gone", r"00003.png \(in D_1-000001.tar\) does not exist; run"),
    ],
)
def test_a_damaged_shard_is_told_by_the_image(layout: Layout, damage: str, said: str) -> None:
    row = read_manifest(layout, 1)[3]
    shard = layout.images(1) / row["shard"]
    content = bytearray(shard.read_bytes())
    if damage == "flipped":
        content[row["offset"] + row["size"] // 2] ^= 4
        shard.write_bytes(content)
    elif damage == "cut off":
        shard.write_bytes(content[: row["offset"] + 20])
    else:
        shard.unlink()
    with pytest.raises(UserError, match=said):
        load_checked(layout.images(1), row)
    assert load_checked(layout.images(1), read_manifest(layout, 1)[0]).shape == (8, 8, 3)


@pytest.mark.parametrize(
    "place", [{"shard": "../../secret"}, {"offset": -1}, {"size": True}, {"offset": None}, {"shard": 3}], ids=str
)
def test_a_place_that_cannot_be_is_refused(layout: Layout, place: dict[str, object]) -> None:
    rows = read_manifest(layout, 1)
    write_jsonl(layout.manifest(1), [rows[0] | place, *rows[1:]])
    with pytest.raises(UserError, match=r"00000.png has a place in a shard that cannot be; restore manifest.jsonl"):
        load_checked(layout.images(1), read_manifest(layout, 1)[0])
