"""The table and the image grid of a sweep, on hand-made cases."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.chain.params import check
from pipeline.core.errors import UserError
from pipeline.studies.sweep import collect, worktree
from pipeline.studies.sweep.plan import Chain
from pipeline.versioning.experiments import Experiment

SIDE = 4


def write_images(root: Path, k: int, prompts: int) -> None:
    """One picture of each prompt, all of one colour: (prompt, k, 0); a second one of the first prompt is black."""
    folder = root / f"data/D_{k}"
    folder.mkdir(parents=True)
    rows = []
    for prompt, copy in [(0, 0), (0, 1), *((prompt, 0) for prompt in range(1, prompts))]:
        name = f"{prompt:05d}-{copy}.png"
        Image.new("RGB", (SIDE, SIDE), (prompt, k, 0) if copy == 0 else (0, 0, 0)).save(folder / name)
        rows.append({"file": name, "prompt_index": prompt, "image_index": copy})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


class Found:
    """An experiment's files, where a Git commit would hold them: FID_k is 10 k + seed, and the images are those of `root`."""

    def __init__(self, name: str, commit: str, root: Path) -> None:
        self.root, self.seed = root, int(name.rpartition("-")[2])

    def read(self, path: Path) -> bytes:
        if path.parent.name == "metrics":
            return json.dumps({"fid": 10 * int(path.stem) + self.seed, "k": 0, "recall": 1 / 3, "names": ["a"]}).encode()
        return (self.root / path).read_bytes()

    def read_image(self, folder: Path, row: dict[str, str]) -> bytes:
        return self.read(folder / row["file"])


def test_the_grid_has_a_row_a_prompt_and_a_column_an_iteration(tmp_path: Path) -> None:
    for k in range(3):
        write_images(tmp_path, k, prompts=11)
    grid = collect.image_grid(Found("s-a-0", "commit", tmp_path), last=2)  # type: ignore[arg-type]
    expected = [[(prompt, k, 0) for k in range(3)] for prompt in range(8)]
    assert grid.shape == (8 * SIDE, 3 * SIDE, 3)
    assert (grid == np.array(expected, np.uint8).repeat(SIDE, axis=0).repeat(SIDE, axis=1)).all()


def chain(arm: str, seed: int) -> Chain:
    return Chain("s", arm, seed, (), check({"iterations": {"1": {"prev": 0}}}), 1)


def test_the_table_has_every_measure_of_every_chain_that_has_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(2):
        write_images(tmp_path, k, prompts=1)
    monkeypatch.setattr(worktree, "find", lambda clone, one: None if one.arm == "c" else Experiment("ref", "base", "commit"))
    monkeypatch.setattr("pipeline.versioning.revisions.Revision", Found)
    chains = [chain("b", 0), chain("a", 0), chain("c", 0), chain("b", 1), chain("a", 1)]
    missing = collect.collect(tmp_path, chains, tmp_path / "out/s.csv")
    assert missing == [chains[2]]
    rows = list(csv.reader(io.StringIO((tmp_path / "out/s.csv").read_text())))
    assert rows == [
        ["arm", "seed", "k", "fid", "recall"],
        *([arm, str(seed), str(k), str(10 * k + seed), "0.333333"] for arm in "ba" for seed in (0, 1) for k in (0, 1)),
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["s-a.png", "s-b.png", "s.csv"]


def test_a_sweep_of_which_nothing_has_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worktree, "find", lambda clone, one: None)
    with pytest.raises(UserError, match="no chain of this sweep has run yet; run 'redifine sweep run' first"):
        collect.collect(tmp_path, [chain("a", 0)], tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()
