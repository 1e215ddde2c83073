"""The vendored trainer through our adapter, and the builtin trainer against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import toml
import torch

from pipeline.chain import paths
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.files import write_text
from pipeline.core.tensors import load_tensors
from pipeline.diffusion import lora
from pipeline.diffusion.models import load_base
from pipeline.diffusion.text import encode, tokenize
from pipeline.train import config, stage
from pipeline.train.builtin import train
from pipeline.train.settings import read_settings
from pipeline.train.training_inputs import copy_tokenizer, read_inputs
from train.replay import Replay, start_of
from train.train_project import CAPTIONS, needs_sd_scripts, view

pytestmark = needs_sd_scripts

REPOSITORY = Path(__file__).resolve().parents[2]
FOLLOWED = {
    "epochs": 7,
    "unet_lr": 1e-3,
    "text_encoder_lr": 5e-4,
    "lr_scheduler": "cosine",
    "max_token_length": 150,
    "noise_offset": 0.1,
}


@dataclass(frozen=True)
class Runs:
    """What the vendored trainer left: the stage's own M_1, and an `out` folder for each job."""

    staged: Layout
    followed: Layout
    out: Path


def prepare(layout: Layout, params: View) -> None:
    """Write M_1's input files without training."""
    job = read_inputs(params, 1, layout)
    copy_tokenizer(job, layout)
    for name, text in config.texts(params, job, layout.model(1), layout.root).items():
        write_text(layout.model(1) / name, text)


@pytest.fixture(scope="module")
def runs(new_project: Callable[[list[str]], Layout], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All runs of sd-scripts that the tests look at; its start-up is most of their time."""
    out = tmp_path_factory.mktemp("out")
    vendored = paths.sd_scripts(REPOSITORY)
    staged, blank, followed = new_project(CAPTIONS), new_project([""] * len(CAPTIONS)), new_project(CAPTIONS)
    for layout in (staged, blank, followed):
        (layout.root / "vendor").mkdir()
        (layout.root / "vendor/sd-scripts").symlink_to(vendored)
    stage.run(view(trainer="kohya"), 1, staged, "cpu")
    prepare(blank, view())
    prepare(followed, view(**FOLLOWED))
    jobs: list[dict[str, Any]] = [
        {"kind": "check", "root": followed.root, "out": "check"},
        {"kind": "plain", "root": staged.root, "out": "plain"},
        {"kind": "entry", "root": staged.root, "out": "dropped", "condition_drop": 1.0},
        {"kind": "plain", "root": blank.root, "out": "blank"},
        {"kind": "record", "root": followed.root, "out": "record"},
    ]
    for job in jobs:
        job |= {"config": "models/M_1/train.toml", "root": str(job["root"]), "out": str(out / job["out"])}
    (out / "jobs.json").write_text(json.dumps(jobs))
    script = [sys.executable, str(Path(__file__).with_name("kohya_jobs.py")), str(out / "jobs.json"), str(vendored)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
    subprocess.run(script, env=environment, check=True)
    return Runs(staged, followed, out)


def assert_same_lora(left: Path, right: Path) -> None:
    first, second = lora.load(left), lora.load(right)
    assert first.keys() == second.keys()
    for name, layer in first.items():
        assert torch.equal(layer.down, second[name].down), name
        assert torch.equal(layer.up, second[name].up), name


def test_every_key_and_type_of_train_toml_is_one_of_the_real_parser(runs: Runs) -> None:
    parser = json.loads((runs.out / "check/parser.json").read_text())
    for layout in (runs.staged, runs.followed):
        for section in toml.loads((layout.model(1) / "train.toml").read_text()).values():
            for key, value in section.items():
                assert key in parser["types"], key
                expected = {"Path": "str", None: type(value).__name__}.get(parser["types"][key], parser["types"][key])
                assert type(value).__name__ == expected, (key, value)
                assert value in parser["choices"].get(key, [value]), (key, value)


def test_without_condition_drop_the_stage_gives_the_tensors_of_the_unpatched_script(runs: Runs) -> None:
    assert_same_lora(runs.staged.lora(1), runs.out / "plain/lora.safetensors")


def test_condition_drop_of_one_is_training_on_empty_captions(runs: Runs) -> None:
    assert_same_lora(runs.out / "dropped/lora.safetensors", runs.out / "blank/lora.safetensors")


def test_training_on_empty_captions_differs_from_training_on_the_captions(runs: Runs) -> None:
    first, second = lora.load(runs.staged.lora(1)), lora.load(runs.out / "blank/lora.safetensors")
    assert any(not torch.equal(layer.up, second[name].up) for name, layer in first.items())


def test_the_stage_publishes_files_and_a_loss_for_each_step(runs: Runs) -> None:
    names = sorted(path.name for path in runs.staged.model(1).iterdir())
    assert names == ["dataset.toml", "lineage.json", "lora.safetensors", "loss.csv", "metadata.json", "train.toml"]
    assert [line.split(",")[0] for line in runs.staged.losses(1).read_text().splitlines()] == ["step", "1", "2", "3"]
    lineage = json.loads((runs.staged.model(1) / "lineage.json").read_text())
    assert lineage["trainer"] == "kohya" and len(lineage["sd_scripts_commit"]) == 40
    _, metadata = load_tensors(runs.staged.lora(1))
    assert metadata["ss_sd_scripts_commit_hash"] == lineage["sd_scripts_commit"]


def test_the_builtin_trainer_follows_the_losses_given_the_same_draws(runs: Runs) -> None:
    record = torch.load(runs.out / "record/record.pt")
    root = runs.followed.root
    settings = read_settings(runs.followed.model(1) / "train.toml", root)
    start = start_of(record["start"])
    draws = Replay(record["steps"], [example.caption for example in settings.examples])
    result = train(settings, root, "cpu", noise_source=draws, start=start)
    expected = [step["loss"] for step in record["steps"]]
    assert len(expected) == 21 and any(any(step["flips"]) for step in record["steps"])
    assert result.losses == pytest.approx(expected, rel=1e-4)


@pytest.fixture(scope="module")
def builtin_lora(new_project: Callable[[list[str]], Layout]) -> Path:
    layout = new_project(CAPTIONS)
    stage.run(view(), 1, layout, "cpu")
    return layout.lora(1)


def test_both_trainers_write_the_same_keys_shapes_and_types(runs: Runs, builtin_lora: Path) -> None:
    def describe(path: Path) -> dict[str, Any]:
        return {name: (tensor.shape, tensor.dtype) for name, tensor in load_tensors(path)[0].items()}

    assert describe(builtin_lora) == describe(runs.staged.lora(1)) == describe(runs.out / "plain/lora.safetensors")


@pytest.mark.parametrize("trainer", ["kohya", "builtin"])
def test_a_lora_has_the_same_effect_in_diffusers_as_merged(
    runs: Runs, builtin_lora: Path, tiny_model: Path, trainer: str
) -> None:
    from diffusers import StableDiffusionPipeline

    path = runs.staged.lora(1) if trainer == "kohya" else builtin_lora
    merged, plain = load_base(tiny_model), load_base(tiny_model)
    lora.merge(merged, path)
    pipe = StableDiffusionPipeline.from_pretrained(tiny_model)
    pipe.load_lora_weights(str(path.parent), weight_name=path.name)
    ids = tokenize(merged.tokenizer, CAPTIONS[:2])
    latents, timesteps = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([10, 600])
    with torch.no_grad():
        states = [encode(model.text_encoder, ids) for model in (merged, pipe, plain)]
        noises = [m.unet(latents, timesteps, states[0]).sample for m in (merged, pipe, plain)]
    for ours, theirs, unchanged in (states, noises):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)
        assert (ours - unchanged).abs().max() > 1e-3
