"""The presets of the paper's runs say what its Table 1 says."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from pipeline.chain import params, presets
from pipeline.inputs.datasets.catalogue import DATASETS
from project import ROOT

SETS = ("pokemon", "celeba", "kumapi", "butterfly")
TABLE_1 = {
    "optimizer": "AdamW", "unet_lr": 0.0001, "text_encoder_lr": 0.00005, "alpha": 8, "rank": 32, "batch_size": 6, "epochs": 100,
    "clip_skip": 2, "noise_offset": 0.0, "precision": "fp16", "min_snr_gamma": 5.0, "max_grad_norm": 1.0,
    "caption_dropout": 0.0, "cfg": 7.5, "steps": 30, "images_per_prompt": 1,
}  # fmt: skip
SECTION_3_AND_A = {
    "resolution": 512, "flip": True, "max_token_length": 225, "trainer": "kohya", "train_parts": "both", "start_from": "base",
    "training_set": "replace", "schedule": "constant", "condition_drop": 0.0, "lr_scheduler": "constant", "features": "dinov2",
    "vae": "models/base/sd-vae-ft-mse",
}  # fmt: skip


def written(name: str) -> dict:
    return YAML(typ="safe").load(ROOT / f"presets/{name}.yaml")


@pytest.mark.parametrize("name", [*SETS, "all-four"])
def test_a_data_sets_preset_is_table_1(name: str) -> None:
    values = written(name)
    expected = TABLE_1 | SECTION_3_AND_A
    assert {key: values[key] for key in expected} == expected
    params.check(presets.defaults() | values)


@pytest.mark.parametrize("name", SETS)
def test_each_set_has_a_folder_of_its_own_and_nothing_else_differs(name: str) -> None:
    assert name in DATASETS
    values = written(name)
    assert values.pop("folder") == f"raw/{name}"
    pokemon = written("pokemon")
    del pokemon["folder"]
    assert values == pokemon


def test_all_four_have_the_updates_of_pokemons_hundred_epochs() -> None:
    assert written("all-four")["updates"] == 100 * (1008 // 6)
