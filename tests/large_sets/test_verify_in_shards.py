"""An audit, and a second computation, name the image inside a shard."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.chain.image_sets import read_manifest, write_set
from pipeline.chain.paths import Layout, image_name
from pipeline.chain.shards import Sharding
from pipeline.cli.verify import verify
from pipeline.core.images import encode_png
from pipeline.provenance.verify.audit import audit
from pipeline.provenance.verify.comparison import Comparer, Tolerance


def rewrite(path: Path, content: bytes) -> None:
    """A new file, because the old one is a link to the fixture's."""
    path.unlink()
    path.write_bytes(content)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    rewrite(path, bytes(content))


def test_a_sound_chain_in_shards_has_no_finding(copy: Layout) -> None:
    assert audit(copy.root).findings == ()


@pytest.mark.parametrize("k", [0, 1])
def test_one_flipped_bit_names_the_image_and_its_shard(copy: Layout, k: int) -> None:
    row = read_manifest(copy, k)[4]
    flip(copy.images(k) / row["shard"], row["offset"] + row["size"] - 1)
    (found,) = audit(copy.root).findings
    assert found.path == f"data/D_{k}/00004.png" and found.kind == "changed"
    assert f"in data/D_{k}/D_{k}-000001.tar" in found.detail


def test_a_lost_shard_names_every_image_in_it(copy: Layout) -> None:
    (copy.images(1) / "D_1-000001.tar").unlink()
    found = audit(copy.root).findings
    assert [(finding.path, finding.kind) for finding in found] == [
        ("data/D_1/00004.png", "missing"),
        ("data/D_1/00005.png", "missing"),
    ]


def test_two_images_that_changed_places_are_told_as_swapped(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.images(1).mkdir(parents=True)
    images = [{"file": image_name(i), "prompt_index": i, "image_index": 0, "prompt": "", "seed": i} for i in range(3)]
    write_set(layout.images(1), 1, images, lambda i: encode_png(np.full((8, 8, 3), 30 * i, np.uint8)), Sharding(0, 3))
    _, first, other = read_manifest(layout, 1)
    shard = layout.images(1) / "D_1-000000.tar"
    content = shard.read_bytes()
    pieces = {i: content[row["offset"] : row["offset"] + row["size"]] for i, row in enumerate((first, other))}
    assert len(pieces[0]) == len(pieces[1])
    between = content[first["offset"] + first["size"] : other["offset"]]
    end = content[other["offset"] + other["size"] :]
    rewrite(shard, content[: first["offset"]] + pieces[1] + between + pieces[0] + end)
    assert {(finding.path, finding.kind) for finding in audit(tmp_path).findings} == {
        ("data/D_1/00001.png", "swapped"),
        ("data/D_1/00002.png", "swapped"),
    }


def test_an_unlisted_shard_is_told(copy: Layout) -> None:
    (copy.images(1) / "D_1-000002.tar").write_bytes(b"?")
    assert [(finding.path, finding.kind) for finding in audit(copy.root).findings] == [("data/D_1/D_1-000002.tar", "extra")]


def test_a_shard_computed_again_is_compared_image_by_image(copy: Layout, sharded: Layout) -> None:
    path = "data/D_1/D_1-000000.tar"
    both = Comparer(sharded.root, copy.root, Tolerance())
    assert [comparison.equal for comparison in both.files(path)] == [True]
    row = read_manifest(copy, 1)[2]
    flip(copy.root / path, row["offset"] + row["size"] - 1)
    found = Comparer(sharded.root, copy.root, Tolerance()).files(path)
    assert [comparison.path for comparison in found if not comparison.equal] == ["data/D_1/00002.png"]


def test_a_caption_changed_inside_a_shard_is_not_taken_for_equal(copy: Layout, sharded: Layout) -> None:
    path = "data/D_1/D_1-000000.tar"
    row = read_manifest(copy, 1)[0]
    flip(copy.root / path, row["offset"] + -(-row["size"] // 512) * 512 + 512)
    (found,) = Comparer(sharded.root, copy.root, Tolerance()).files(path)
    assert not found.holds and found.path == path


@pytest.mark.slow
def test_images_of_one_shard_are_verified_without_the_others(copy: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy.images(1) / "D_1-000000.tar").unlink()
    monkeypatch.chdir(copy.root)
    done = CliRunner().invoke(verify, ["1", "--images", "4,5", "--device", "cpu", "--json"])
    told = json.loads(done.stdout)
    assert [entry["path"] for entry in told["comparisons"]] == ["data/D_1/00004.png", "data/D_1/00005.png"]
    assert told["holds"]


@pytest.mark.slow
def test_an_iteration_in_shards_computed_again_is_byte_equal(copy: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy.root)
    shutil.rmtree(copy.scratch, ignore_errors=True)
    done = CliRunner().invoke(verify, ["1", "--device", "cpu", "--json"])
    compared = {entry["path"]: entry["equal"] for entry in json.loads(done.stdout)["comparisons"]}
    assert all(compared.values()) and "data/D_1/D_1-000001.tar" in compared
