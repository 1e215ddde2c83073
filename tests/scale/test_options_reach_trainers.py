"""Precision, optimizer, attention and memory: what sd-scripts is told, and what the builtin trainer does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import toml
import torch

from pipeline.chain import paths
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.train import builtin, config, stage
from pipeline.train.kohya import launch
from pipeline.train.out_of_memory import explain_out_of_memory
from pipeline.train.settings import read_settings
from pipeline.train.training_inputs import read_inputs
from project import ROOT
from train.train_project import needs_sd_scripts, view, write_project

OPTIONS = [
    ({"precision": "fp32"}, {"mixed_precision": "no"}),
    ({"precision": "fp16"}, {"mixed_precision": "fp16"}),
    ({"precision": "bf16"}, {"mixed_precision": "bf16"}),
    ({"attention": "sdpa"}, {"sdpa": True}),
    ({"attention": "xformers"}, {"xformers": True}),
    ({"optimizer": "AdamW"}, {"optimizer_type": "AdamW", "optimizer_args": None}),
    ({"optimizer": "FusedAdamW"}, {"optimizer_type": "AdamW", "optimizer_args": ["fused=True"]}),
    ({"optimizer": "AdamW8bit"}, {"optimizer_type": "AdamW8bit", "optimizer_args": None}),
    ({"gradient_checkpointing": True}, {"gradient_checkpointing": True}),
    ({"gradient_checkpointing": False}, {"gradient_checkpointing": None}),
    ({"cache_latents": True}, {"cache_latents": True}),
]


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Layout:
    return write_project(tmp_path / "project", tiny_model)


def written(project: Layout, **changes: object) -> dict[str, object]:
    text, _ = stage.dry_run(view(**changes), 1, project, "cpu")
    return {key: value for section in toml.loads(text).values() for key, value in section.items()}


@pytest.mark.parametrize(("changes", "expected"), OPTIONS, ids=[str(changes) for changes, _ in OPTIONS])
def test_each_option_becomes_the_keys_that_sd_scripts_reads(
    project: Layout, changes: dict[str, object], expected: dict[str, object]
) -> None:
    values = written(project, **changes)
    assert {key: values.get(key) for key in expected} == expected


@needs_sd_scripts
def test_sd_scripts_parser_has_every_key_that_any_option_writes(project: Layout) -> None:
    vendored = paths.sd_scripts(ROOT)
    assert vendored is not None
    sources = [vendored / "train_network.py", *(vendored / "library").glob("*.py")]
    known = set(re.findall(r'"--([a-z0-9_]+)"', "".join(path.read_text(encoding="utf-8") for path in sources)))
    used = {key for changes, _ in OPTIONS for key in written(project, **changes)}
    assert used <= known


@needs_sd_scripts
def test_sd_scripts_reads_the_fused_optimizers_argument_as_pythons_true(project: Layout) -> None:
    # sd-scripts splits each argument at "=" and takes the right side as a Python literal.
    (argument,) = written(project, optimizer="FusedAdamW")["optimizer_args"]
    name, value = argument.split("=")
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)], **{name: ast.literal_eval(value)})
    assert "value = ast.literal_eval(value)" in (paths.sd_scripts(ROOT) / "library/train_util.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "AdamW8bit"}, "the builtin trainer has no AdamW8bit; set optimizer: AdamW or trainer: kohya"),
        ({"attention": "xformers"}, "the builtin trainer does not use xformers; set attention: sdpa or trainer: kohya"),
    ],
)
def test_what_the_builtin_trainer_has_not_is_refused(project: Layout, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        builtin_settings(project, **changes)


def builtin_settings(project: Layout, **changes: object):
    params = view(**changes)
    job = read_inputs(params, 1, project)
    for name, text in config.texts(params, job, project.model(1), project.root).items():
        write_text(project.model(1) / name, text)
    return read_settings(project.model(1) / "train.toml", project.root)


def test_gradient_checkpointing_and_the_fused_optimizer_change_no_bit_of_the_builtin_trainers_lora(project: Layout) -> None:
    plain, *others = (
        builtin.train(builtin_settings(project, epochs=2, **changes), project.root, "cpu")
        for changes in ({}, {"gradient_checkpointing": True}, {"optimizer": "FusedAdamW"})
    )
    for other in others:
        assert other.losses == plain.losses
        assert all(torch.equal(other.weights[name].up, plain.weights[name].up) for name in plain.weights)


def test_gradient_checkpointing_keeps_fewer_tensors_for_the_gradients(project: Layout, tiny_model: Path) -> None:
    from pipeline.diffusion.models import load_base

    def kept(checkpointing: bool) -> int:
        model = load_base(tiny_model)
        if checkpointing:
            model.unet.enable_gradient_checkpointing()
        model.unet.conv_in.weight.requires_grad_(True)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            model.predict(torch.zeros(2, 4, 8, 8), torch.tensor(1.0), torch.zeros(2, 77, 32))
        return sum(sizes)

    assert kept(True) < 0.5 * kept(False)


def test_a_training_that_runs_out_of_memory_names_the_knobs() -> None:
    words = "out of memory in a training step of batch_size 6 in precision fp32; set gradient_checkpointing: true"
    with pytest.raises(UserError, match=words), explain_out_of_memory(6, "fp32"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
    with pytest.raises(RuntimeError, match="shapes"), explain_out_of_memory(6, "fp32"):
        raise RuntimeError("shapes do not match")


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", 1, "out of memory in a training step; set gradient_"),
        ("steps: 1%|#| 1/3", -9, "signal 9.*out of memory: set gradient_checkpointing"),
        ("subprocess.CalledProcessError: Command 'x' died with <Signals.SIGKILL: 9>.", 1, "signal 9.*out of memory"),
        ("ValueError: bad", 1, "^ValueError: bad$"),
    ],
    ids=["GPU", "killed", "killed behind a launcher", "something else"],
)  # fmt: skip
def test_sd_scripts_out_of_memory_names_the_knobs(tmp_path: Path, log: str, code: int, words: str) -> None:
    (tmp_path / "log").write_text(log)
    assert re.search(words, launch._reason(code, tmp_path / "log"))
