"""One small chain twice, computed by the stages: with its sets as loose files, and in shards of four images."""

from __future__ import annotations

import os
import shutil
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner

from chains import parameters
from pipeline.chain.paths import Layout
from pipeline.cli.application import main
from pipeline.core.json_files import write_json

SMALL = {"prompts": 6, "epochs": 1, "updates": 2, "batch_size": 2, "steps": 2, "rank": 2, "sample_batch": 3, "cfg": 3.0,
         "neighbours": 3}  # fmt: skip
SHARDS = {"shard_above": 4, "shard_size": 4}

STAGES = [["prepare"], ["measure", "--k", "0"], ["curate", "--k", "1"], ["train", "--k", "1"], ["sample", "--k", "1"],
          ["measure", "--k", "1"], ["analyse", "--k", "1"], ["curate", "--k", "2"]]  # fmt: skip


def compute(root: Path, model: Path, **changes: object) -> Layout:
    """Run the stages of iteration 1 below `root`."""
    shutil.copytree(model, root / "models/miniature")
    write_json(root / "params.yaml", parameters(2, **SMALL, **changes).model_dump())
    with chdir(root):
        for arguments in STAGES:
            device = ["--device", "cpu"] if arguments[0] in ("train", "sample", "measure") else []
            done = CliRunner().invoke(main, [*arguments, *device])
            assert done.exit_code == 0, done.output
    return Layout(root)


@pytest.fixture(scope="session")
def loose(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Layout:
    """Read only."""
    return compute(tmp_path_factory.mktemp("loose"), tiny_model)


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Layout:
    """Read only."""
    return compute(tmp_path_factory.mktemp("sharded"), tiny_model, **SHARDS)


@pytest.fixture
def copy(sharded: Layout, tmp_path: Path) -> Layout:
    """The chain in shards, to spoil."""
    shutil.copytree(sharded.root, tmp_path / "copy", copy_function=os.link)
    return Layout(tmp_path / "copy")
