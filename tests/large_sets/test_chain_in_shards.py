"""A chain whose sets are kept in shards is the same chain: every hash, every metric, every model."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from pipeline.chain.image_sets import Images, read_manifest
from pipeline.chain.paths import Layout
from pipeline.chain.shards import PLACE
from pipeline.provenance.share.formats import WRITERS, read_images
from pipeline.report.image_grid import grid

SAME = ["data/prompts.jsonl", "data/T_1.jsonl", "data/T_2.jsonl", "models/M_1/lora.safetensors", "models/M_1/lineage.json",
        "models/M_1/train.toml", "models/M_1/dataset.toml", "models/M_1/metadata.json", "models/M_1/loss.csv",
        "traces/1.safetensors", "features/0.safetensors", "features/1.safetensors", "metrics/0.json", "metrics/1.json",
        "analysis/1.json", "analysis/1.safetensors"]  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_a_file_that_follows_from_the_images_is_the_same(loose: Layout, sharded: Layout, name: str) -> None:
    assert (sharded.root / name).read_bytes() == (loose.root / name).read_bytes()


@pytest.mark.parametrize("k", [0, 1])
def test_the_manifest_is_the_same_but_for_the_place_of_each_image(loose: Layout, sharded: Layout, k: int) -> None:
    rows = read_manifest(sharded, k)
    assert [{key: value for key, value in row.items() if key not in PLACE} for row in rows] == read_manifest(loose, k)
    assert [row["shard"] for row in rows] == [f"D_{k}-000000.tar"] * 4 + [f"D_{k}-000001.tar"] * 2


@pytest.mark.parametrize("k", [0, 1])
def test_a_folder_of_shards_holds_each_image_once_with_its_prompt_beside_it(loose: Layout, sharded: Layout, k: int) -> None:
    assert sorted(path.name for path in sharded.images(k).iterdir()) == [
        f"D_{k}-000000.tar",
        f"D_{k}-000001.tar",
        "manifest.jsonl",
    ]
    found: dict[str, bytes] = {}
    for shard in sorted(sharded.images(k).glob("*.tar")):
        with tarfile.open(shard) as tar:
            found |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    rows = read_manifest(loose, k)
    assert {name: found[name] for name in found if name.endswith(".png")} == {
        row["file"]: (loose.images(k) / row["file"]).read_bytes() for row in rows
    }
    assert [found[f"{Path(row['file']).stem}.txt"].decode() for row in rows] == [row["prompt"] for row in rows]


def test_nothing_unpacked_is_left(sharded: Layout) -> None:
    assert list(sharded.scratch.rglob("*.png")) == []


def test_an_image_is_found_by_the_path_that_it_would_have(loose: Layout, sharded: Layout) -> None:
    for path in ("data/D_0/00005.png", "data/D_1/00000.png"):
        assert not (sharded.root / path).exists()
        assert Images(sharded.root).read(path) == (loose.root / path).read_bytes()
    with pytest.raises(FileNotFoundError):
        Images(sharded.root).read("data/D_1/00006.png")


def test_the_reports_pictures_are_the_same(loose: Layout, sharded: Layout) -> None:
    pages = [grid(layout, [read_manifest(layout, k) for k in range(2)]) for layout in (loose, sharded)]
    thumbnails = [[picture.thumbnail for row in rows for cell in row.cells for picture in cell] for rows in pages]
    assert thumbnails[0] == thumbnails[1] and len(thumbnails[0]) == 12


@pytest.mark.parametrize("form", list(WRITERS))
def test_an_export_is_the_same(loose: Layout, sharded: Layout, tmp_path: Path, form: str) -> None:
    trees = []
    for layout in (loose, sharded):
        folder = tmp_path / layout.root.name
        folder.mkdir()
        WRITERS[form](folder, read_images(layout, 1), 1)
        trees.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert trees[0] == trees[1] and trees[0]
