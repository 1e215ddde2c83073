"""`redifine get K --images A:B` brings the shards that hold these images, and no other file of D_K."""

from __future__ import annotations

import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.chain.image_sets import load_checked, read_manifest, write_set
from pipeline.chain.paths import Layout, image_name
from pipeline.chain.shards import LOOSE, Sharding
from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.images import encode_png
from pipeline.provenance.share import sharing
from provenance.share.share_project import commit, git, identify

IMAGES = 7
GRAPH = """
stages:
  prepare: {cmd: "true", outs: [data/D_0, models/M_0]}
  sample: {cmd: "true", outs: [data/D_1, models/M_1]}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has shared D_0 (loose) and D_1 (in shards of two) on the folder `store`; a clone beside it is empty."""
    from dvc.repo import Repo

    world = tmp_path_factory.mktemp("world")
    root, layout = world / "a", Layout(world / "a")
    for k, sharding in ((0, LOOSE), (1, Sharding(above=0, size=2))):
        layout.images(k).mkdir(parents=True)
        rows = [
            {"file": image_name(i), "prompt_index": i, "image_index": 0, "prompt": f"{i}", "seed": i} for i in range(IMAGES)
        ]
        write_set(layout.images(k), k, rows, lambda i: encode_png(np.full((8, 8, 3), 30 * i, np.uint8)), sharding)
        write_text(layout.model(k) / "record.json", f"{k}")
    (root / "dvc.yaml").write_text(GRAPH)
    git(root, "init", "-q", "-b", "main")
    identify(root)
    Repo.init(str(root)).close()
    (world / "store").mkdir()
    (root / ".dvc/config").write_text("[core]\n    remote = near\n['remote \"near\"']\n    url = ../../store\n")
    with chdir(root), Repo(".") as repo:
        repo.commit(force=True)
    commit(root, "run")
    sharing.share(root, [], None, False, None, "origin")
    git(world, "clone", "-q", "a", "b")
    return world / "b"


@pytest.fixture
def clone(shared: Path, tmp_path: Path) -> Path:
    shutil.copytree(shared.parent, tmp_path / "world", symlinks=True)
    return tmp_path / "world/b"


def there(clone: Path, k: int) -> set[str]:
    return {path.name for path in (clone / f"data/D_{k}").iterdir()}


def cached(clone: Path) -> int:
    return len([path for path in (clone / ".dvc/cache/files/md5").rglob("*") if path.is_file() and path.suffix != ".dir"])


def test_only_the_shards_of_these_images_are_fetched(clone: Path) -> None:
    with chdir(clone):
        done = CliRunner().invoke(main, ["get", "1", "--images", "3:5"])
    assert done.exit_code == 0, done.output
    assert there(clone, 1) == {"manifest.jsonl", "D_1-000001.tar", "D_1-000002.tar"}
    assert cached(clone) == 3
    rows = read_manifest(Layout(clone), 1)
    assert [load_checked(clone / "data/D_1", row)[0, 0, 0] for row in rows[3:5]] == [90, 120]
    assert "here are 4 of the 7 images of D_1" in done.output


def test_more_images_come_to_those_that_are_here(clone: Path) -> None:
    sharing.get_images(clone, 1, slice(0, 1), False, None)
    before = (clone / "data/D_1/D_1-000000.tar").stat().st_ino
    _, (notice,) = sharing.get_images(clone, 1, slice(6, 7), False, None)
    assert "here are 3 of the 7" in notice
    assert there(clone, 1) == {"manifest.jsonl", "D_1-000000.tar", "D_1-000003.tar"}
    assert (clone / "data/D_1/D_1-000000.tar").stat().st_ino == before


def test_loose_images_are_fetched_one_by_one(clone: Path) -> None:
    sharing.get_images(clone, 0, slice(2, 4), False, None)
    assert there(clone, 0) == {"manifest.jsonl", "00002.png", "00003.png"}


def test_the_whole_iteration_can_follow(clone: Path) -> None:
    sharing.get_images(clone, 1, slice(0, 1), False, None)
    sharing.get(clone, 1, None, False, None, "origin")
    assert there(clone, 1) == {"manifest.jsonl", *(f"D_1-00000{i}.tar" for i in range(4))}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "1", "--images", "5:5"], "--images takes A:B with A below B"),
        (["get", "1", "--images", "a"], "--images takes A:B with A below B"),
        (["get", "--images", "0:2"], "--images needs an iteration K"),
        (["get", "1", "--images", "0:2", "--exp", "x"], "takes no --exp"),
    ],
)
def test_wrong_use_is_one_sentence(clone: Path, words: list[str], said: str) -> None:
    with chdir(clone):
        done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and said in done.output
    assert not (clone / "data/D_1").exists()


def test_images_that_do_not_exist_are_told_with_those_that_do(clone: Path) -> None:
    with pytest.raises(UserError, match="--images names no image of D_1, which has 0 to 6; give A:B within 0:7"):
        sharing.get_images(clone, 1, slice(7, 9), False, None)
