"""Trainers read files: images of shards are unpacked for them, and no longer than they run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import toml
from large_sets.conftest import SMALL

from chains import parameters
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.files import write_bytes
from pipeline.train import config
from pipeline.train.training_inputs import image_files, read_inputs

PATHS = ["data/D_0/00000.png", "data/D_1/00005.png", "data/D_1/00005.png"]


def test_loose_images_stay_where_they_are(loose: Layout) -> None:
    with image_files(PATHS, loose.root, loose.scratch / "images/T_2") as place:
        assert place == "." and not (loose.scratch / "images").exists()


def test_images_of_shards_are_files_until_the_trainer_ends(copy: Layout, loose: Layout) -> None:
    with image_files(PATHS, copy.root, copy.scratch / "images/T_2") as place:
        for path in PATHS:
            assert (copy.root / place / path).read_bytes() == (loose.root / path).read_bytes()
    assert not (copy.scratch / "images/T_2").exists()


def test_loose_ones_go_along_where_some_are_in_shards(copy: Layout) -> None:
    write_bytes(copy.root / "data/D_7/00000.png", b"loose")
    with image_files([*PATHS, "data/D_7/00000.png"], copy.root, copy.scratch / "images/T_2") as place:
        assert (copy.root / place / "data/D_7/00000.png").read_bytes() == b"loose"


def test_a_trainer_that_fails_leaves_nothing_unpacked(copy: Layout) -> None:
    with pytest.raises(ZeroDivisionError), image_files(PATHS, copy.root, copy.scratch / "images/T_2"):
        raise ZeroDivisionError
    assert not (copy.scratch / "images/T_2").exists()


def test_both_trainers_are_told_where_the_images_are(copy: Layout) -> None:
    params = View(parameters(2, **SMALL), "train")
    job = replace(read_inputs(params, 1, copy), images="scratch/images/T_1")
    subsets = toml.loads(config.dataset_toml(params, job, copy.model(1), copy.root))["datasets"][0]["subsets"]
    assert [subset["image_dir"] for subset in subsets] == ["scratch/images/T_1"]
