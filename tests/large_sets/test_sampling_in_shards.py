"""Sampling into shards: what a kill costs, and that images lie on the disk once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from large_sets.conftest import SHARDS, SMALL

from chains import parameters
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.sample import batches, stage
from pipeline.sample.batches import queue_batch

BATCH = {"sample_batch": 1}


def view(root: Path) -> View:
    model = str(root / "models/miniature")
    return View(parameters(2, **SMALL | BATCH, **SHARDS, model=model), "sample")


@pytest.fixture
def started(sharded: Layout, tmp_path: Path) -> Layout:
    """The chain up to M_1, without D_1."""
    layout = Layout(tmp_path / "started")
    for name in ("data/prompts.jsonl", "models"):
        source, target = sharded.root / name, layout.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    return layout


def drawing(monkeypatch: pytest.MonkeyPatch, most: int | None = None) -> list[int]:
    """Count the batches that are drawn from now on; break off before one more than `most`."""
    counted: list[int] = []

    def counting(*arguments: object) -> object:
        if len(counted) == most:
            raise KeyboardInterrupt
        counted.append(1)
        return queue_batch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(batches, "queue_batch", counting)
    return counted


def tree(layout: Layout) -> dict[str, bytes]:
    files = [*sorted(layout.images(1).iterdir()), layout.traces(1)]
    return {path.relative_to(layout.root).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("killed_after", [2, 4, 5], ids=["inside a shard", "at its end", "inside the next"])
def test_a_killed_run_goes_on_and_draws_no_finished_batch_again(
    started: Layout, sharded: Layout, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        drawing(patch, killed_after)
        stage.run(view(started.root), 1, started, "cpu")
    assert not started.images(1).exists()
    left = drawing(monkeypatch)
    stage.run(view(started.root), 1, started, "cpu")
    assert len(left) <= 6 - killed_after + 1
    assert tree(started).keys() == tree(sharded).keys()
    assert not any(started.scratch.rglob("*.png"))


def test_a_full_shard_takes_the_place_of_its_images(started: Layout) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        drawing(patch, 5)
        stage.run(view(started.root), 1, started, "cpu")
    assert [path.name for path in started.scratch.rglob("*.tar")] == ["D_1-000000.tar"]
    assert [path.name for path in sorted(started.scratch.rglob("*.png"))] in (["00004.png"], [])


def test_a_kill_between_packing_and_removing_does_no_harm(started: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        if path.name == "00002.png":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", interrupted)
        stage.run(view(started.root), 1, started, "cpu")
    left = drawing(monkeypatch)
    stage.run(view(started.root), 1, started, "cpu")
    assert len(left) <= 2
    undisturbed = tree(started)
    shutil.rmtree(started.images(1))
    stage.run(view(started.root), 1, started, "cpu")
    assert tree(started) == undisturbed
