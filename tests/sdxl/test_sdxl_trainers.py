"""SDXL through both trainers, and prompts of 225 tokens, against sd-scripts itself."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from pipeline.chain import paths
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.files import write_text
from pipeline.core.tensors import load_tensors
from pipeline.diffusion import lora
from pipeline.diffusion.families.sdxl.model import split_condition
from pipeline.diffusion.models import load_base
from pipeline.train import config, stage
from pipeline.train.builtin import train
from pipeline.train.settings import read_settings
from pipeline.train.training_inputs import copy_tokenizer, read_inputs
from train.replay import Replay, start_of
from train.train_project import CAPTIONS, needs_sd_scripts, view, write_project

pytestmark = needs_sd_scripts

REPOSITORY = Path(__file__).resolve().parents[2]
JOBS = Path(__file__).parents[1] / "train/kohya_jobs.py"
FOLLOWED = {"epochs": 2, "unet_lr": 1e-3, "text_encoder_lr": 5e-4, "max_token_length": 150}
PLAIN = {"flip": False}
"""Mirrored images apart (what sd-scripts says of them is mended), our trainer is the unpatched one."""

LENGTHS = (75, 150, 225)
LONG = [
    "a round red creature",
    "",
    "(two:1.5) blue eyes, [striped], tail (tail)",
    "!!! !",
    " ".join(["horns and a curly tail,"] * 12),
    " ".join(["horns and a curly tail,"] * 90),
]


@dataclass(frozen=True)
class Runs:
    """What sd-scripts left: M_1 of the stage, and an `out` folder for each job."""

    staged: Layout
    followed: Layout
    out: Path


def prepared(root: Path, model: Path, params: View, captions: list[str] = CAPTIONS) -> Layout:
    """A project with M_1's input files."""
    layout = write_project(root, model, captions)
    (root / "vendor").mkdir()
    (root / "vendor/sd-scripts").symlink_to(paths.sd_scripts(REPOSITORY))
    job = read_inputs(params, 1, layout)
    copy_tokenizer(job, layout)
    for name, text in config.texts(params, job, layout.model(1), layout.root).items():
        write_text(layout.model(1) / name, text)
    return layout


@pytest.fixture(scope="module")
def runs(tiny_xl: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All runs of sd-scripts that the tests look at; its start-up is most of their time."""
    root = tmp_path_factory.mktemp("sdxl")
    staged, followed = prepared(root / "staged", tiny_xl, view()), prepared(root / "followed", tiny_xl, view(**FOLLOWED))
    blank = prepared(root / "blank", tiny_xl, view(**PLAIN), [""] * 6)
    half = prepared(root / "half", tiny_xl, view(**PLAIN, precision="bf16"))
    stage.run(view(**PLAIN, trainer="kohya"), 1, staged, "cpu")
    jobs: list[dict[str, Any]] = [
        {"kind": "check", "root": staged.root, "out": "check"},
        {"kind": "plain", "root": staged.root, "out": "plain"},
        {"kind": "entry", "root": staged.root, "out": "dropped", "condition_drop": 1.0},
        {"kind": "plain", "root": blank.root, "out": "blank"},
        {"kind": "plain", "root": half.root, "out": "half plain"},
        {"kind": "entry", "root": half.root, "out": "half", "condition_drop": 0.0},
        {"kind": "record", "root": followed.root, "out": "record"},
    ]
    jobs = [job | {"sdxl": True} for job in jobs]
    for name, model in (("sd", tiny_model), ("sdxl", tiny_xl)):
        for length in LENGTHS:
            place = prepared(root / f"{name} {length}", model, view(max_token_length=length)).root
            jobs.append({"kind": "encode", "root": place, "out": f"{name} {length}", "prompts": LONG, "sdxl": name == "sdxl"})
    run_jobs(jobs, root / "out")
    return Runs(staged, followed, root / "out")


def run_jobs(jobs: list[dict[str, Any]], out: Path) -> None:
    out.mkdir()
    jobs = [job | {"config": "models/M_1/train.toml", "root": str(job["root"]), "out": str(out / job["out"])} for job in jobs]
    (out / "jobs.json").write_text(json.dumps(jobs))
    script = [sys.executable, str(JOBS), str(out / "jobs.json"), str(paths.sd_scripts(REPOSITORY))]
    subprocess.run(script, env=os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}, check=True)


def assert_same_lora(left: Path, right: Path) -> None:
    first, second = lora.load(left), lora.load(right)
    assert first.keys() == second.keys()
    for name, layer in first.items():
        assert torch.equal(layer.down, second[name].down) and torch.equal(layer.up, second[name].up), name


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_prompt_is_encoded_as_sd_scripts_strategies_do(
    runs: Runs, tiny_model: Path, tiny_xl: Path, family: str, length: int
) -> None:
    """Brackets are literal on both sides, and a prompt that is too long is cut at the same token."""
    theirs = torch.load(runs.out / f"{family} {length}" / "encoded.pt")
    model = load_base(tiny_xl if family == "sdxl" else tiny_model)
    ids = model.tokenize(LONG, length)
    both = ids.unbind(1) if family == "sdxl" else [ids]
    assert all(torch.equal(ours, other) for ours, other in zip(both, theirs["ids"], strict=True))
    with torch.no_grad():
        condition = model.encode(ids)
    assert condition.shape[1] == length + 2 + (family == "sdxl")
    if family == "sd":
        torch.testing.assert_close(condition, theirs["encoded"][0])
        return
    states, pooled = split_condition(condition, 40)
    first, second, their_pooled = theirs["encoded"]
    torch.testing.assert_close(states, torch.cat([first, second], dim=-1))
    torch.testing.assert_close(pooled, their_pooled)


def test_every_key_of_train_toml_is_one_of_the_sdxl_parser(runs: Runs) -> None:
    import toml

    parser = json.loads((runs.out / "check/parser.json").read_text())
    sections = toml.loads((runs.staged.model(1) / "train.toml").read_text())
    assert {key for section in sections.values() for key in section} <= set(parser["types"])
    assert sections["running"]["no_half_vae"] is True


def test_the_stage_gives_the_tensors_of_the_unpatched_script(runs: Runs) -> None:
    assert_same_lora(runs.staged.lora(1), runs.out / "plain/lora.safetensors")


def test_loading_in_half_precision_at_once_changes_no_bit_of_the_unpatched_scripts_result(runs: Runs) -> None:
    assert_same_lora(runs.out / "half/lora.safetensors", runs.out / "half plain/lora.safetensors")


def test_condition_drop_of_one_is_training_on_empty_captions(runs: Runs) -> None:
    assert_same_lora(runs.out / "dropped/lora.safetensors", runs.out / "blank/lora.safetensors")
    first, second = lora.load(runs.staged.lora(1)), lora.load(runs.out / "blank/lora.safetensors")
    for prefix in ("lora_te1", "lora_te2", "lora_unet"):
        assert any(not torch.equal(layer.up, second[name].up) for name, layer in first.items() if name.startswith(prefix))


def test_the_builtin_trainer_follows_the_losses_given_the_same_draws(runs: Runs) -> None:
    record = torch.load(runs.out / "record/record.pt")
    settings = read_settings(runs.followed.model(1) / "train.toml", runs.followed.root)
    draws = Replay(record["steps"], [example.caption for example in settings.examples])
    result = train(settings, runs.followed.root, "cpu", noise_source=draws, start=start_of(record["start"]))
    expected = [step["loss"] for step in record["steps"]]
    assert len(expected) == 6 and any(any(step["flips"]) for step in record["steps"])
    assert result.losses == pytest.approx(expected, rel=1e-4)


@pytest.fixture(scope="module")
def builtin_lora(tiny_xl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = write_project(tmp_path_factory.mktemp("builtin"), tiny_xl)
    stage.run(view(condition_drop=0.5), 1, layout, "cpu")
    return layout.lora(1)


def test_both_trainers_write_the_same_keys_shapes_and_types(runs: Runs, builtin_lora: Path) -> None:
    def describe(path: Path) -> dict[str, Any]:
        return {name: (tensor.shape, tensor.dtype) for name, tensor in load_tensors(path)[0].items()}

    assert describe(builtin_lora) == describe(runs.staged.lora(1)) == describe(runs.out / "plain/lora.safetensors")
    assert load_tensors(builtin_lora)[1]["ss_base_model_version"] == "sdxl_base_v1-0"


@pytest.mark.parametrize("trainer", ["kohya", "builtin"])
def test_a_lora_has_the_same_effect_in_diffusers_as_merged(runs: Runs, builtin_lora: Path, tiny_xl: Path, trainer: str) -> None:
    path = runs.staged.lora(1) if trainer == "kohya" else builtin_lora
    merged, plain = load_base(tiny_xl), load_base(tiny_xl)
    lora.merge(merged, path)
    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_xl, add_watermarker=False)
    pipe.load_lora_weights(str(path.parent), weight_name=path.name)
    theirs = load_base(tiny_xl)
    theirs.unet, theirs.text_encoder, theirs.text_encoder_2 = pipe.unet, pipe.text_encoder, pipe.text_encoder_2
    latents, times = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([10, 600])
    with torch.no_grad():
        conditions = [model.encode(model.tokenize(CAPTIONS[:2])) for model in (merged, theirs, plain)]
        noises = [model.predict(latents, times, conditions[0]) for model in (merged, theirs, plain)]
    for ours, other, unchanged in (conditions, noises):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=5e-5)
        assert (ours - unchanged).abs().max() > 1e-3
