"""A killed training goes on to the same bytes, or starts again; it never goes on from something else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.chain import run_environment
from pipeline.chain.paths import Layout
from pipeline.train import builtin, checkpoint, stage
from pipeline.train.checkpoint import CheckpointManager, State
from pipeline.train.training_inputs import read_inputs
from train.train_project import view, write_project

SETTINGS = [
    {},
    {"lr_scheduler": "cosine", "noise_offset": 0.2, "caption_dropout": 0.3, "condition_drop": 0.5, "cache_latents": True},
    {"train_parts": "text_encoder", "batch_size": 4, "max_grad_norm": 0.0, "min_snr_gamma": None},
]
STEPS = 9


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after each step; and the code stands still, though someone may be editing it."""
    monkeypatch.setattr(run_environment, "code_hash", lambda package: "code")
    monkeypatch.setattr(checkpoint, "_SHARE", 0)
    monkeypatch.setattr(checkpoint, "CheckpointManager", partial(CheckpointManager, seconds=0.0))


def files(layout: Layout) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in layout.model(1).iterdir()}


def run_until(step: int, monkeypatch: pytest.MonkeyPatch, run: Callable[[], None]) -> int:
    """Run a training that is interrupted in the computation of `step`, counted from 0 -> how many steps it computed."""
    done: list[int] = []
    loss = builtin._loss

    def counted(*arguments: object) -> torch.Tensor:
        if arguments[4] == step:
            raise KeyboardInterrupt
        done.append(1)
        return loss(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(builtin, "_loss", counted)
        try:
            run()
        except KeyboardInterrupt:
            assert step < STEPS
    return len(done)


@pytest.mark.parametrize("changes", SETTINGS, ids=["default", "all chance", "text encoder"])
def test_an_interrupted_training_ends_with_the_same_bytes(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, every_step: None, changes: dict
) -> None:
    params = view(updates=STEPS, **changes)
    undisturbed, disturbed = (write_project(tmp_path / name, tiny_model) for name in ("a", "b"))
    stage.run(params, 1, undisturbed, "cpu")

    def run() -> None:
        stage.run(params, 1, disturbed, "cpu")

    assert run_until(4, monkeypatch, run) == 4
    assert not disturbed.model(1).exists()
    assert run_until(7, monkeypatch, run) == 3, "four steps were done"
    assert run_until(STEPS, monkeypatch, run) == STEPS - 7, "seven steps were done"
    assert files(disturbed) == files(undisturbed)
    assert not (disturbed.scratch / "train").exists()


def test_what_else_decides_the_bytes_starts_again(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = write_project(tmp_path / "a", tiny_model)

    def place(**changes: object) -> Path:
        params = view(**changes)
        return stage._unfinished(params, read_inputs(params, 1, layout), layout, "cpu")

    places = [place(), place(seed=8), place(unet_lr=1e-3), place(updates=50)]
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 77)
        places.append(place())
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0.0")
        places.append(place())
    with monkeypatch.context() as patch:
        patch.setattr(run_environment, "_PACKAGE", tmp_path)
        places.append(place())
    rows = layout.training_set(1).read_text().splitlines()
    layout.training_set(1).write_text("\n".join(rows[1:]) + "\n")
    places.append(place())
    assert len(set(places)) == len(places)


def test_edited_code_has_another_hash(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("1")
    before = run_environment.code_hash(tmp_path)
    (tmp_path / "notes.txt").write_text("2")
    assert run_environment.code_hash(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2\n")
    edited = run_environment.code_hash(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({before, edited, run_environment.code_hash(tmp_path)}) == 3


def test_a_damaged_checkpoint_starts_again_and_says_so(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, every_step: None, capfd: pytest.CaptureFixture[str]
) -> None:
    params, layout = view(updates=STEPS), write_project(tmp_path / "a", tiny_model)

    def run() -> None:
        stage.run(params, 1, layout, "cpu")

    run()
    whole = files(layout)
    shutil.rmtree(layout.model(1))
    run_until(5, monkeypatch, run)
    file = next(layout.scratch.rglob("checkpoint.safetensors"))
    file.write_bytes(file.read_bytes()[:1000])
    capfd.readouterr()
    assert run_until(STEPS, monkeypatch, run) == STEPS
    assert "starts again" in capfd.readouterr().err
    assert files(layout) == whole


def test_a_checkpoint_that_cannot_be_written_costs_no_training(
    tmp_path: Path, tiny_model: Path, every_step: None, capfd: pytest.CaptureFixture[str]
) -> None:
    params, layout = view(updates=2), write_project(tmp_path / "a", tiny_model)
    layout.scratch.mkdir(parents=True, exist_ok=True)
    (layout.scratch / "train").write_text("in the way")
    stage.run(params, 1, layout, "cpu")
    assert "no checkpoint at step 1, training goes on" in capfd.readouterr().err
    assert layout.lora(1).is_file()


class Small:
    """A training with a momentum, a falling rate and a growing loss scale, whose chance is a function of the step."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.ones(4, 3))
        optimizer = torch.optim.AdamW([{"params": [self.weight], "lr": 0.1}])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0, growth_interval=2)
        self.state = State([self.weight], optimizer, schedule, scaler, torch.zeros(12))

    def run(self, start: int, end: int) -> None:
        state = self.state
        for step in range(start, end):
            x = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
            loss = (x @ self.weight.t()).square().mean()
            state.scaler.scale(loss).backward()
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.schedule.step()
            state.optimizer.zero_grad()
            state.losses[step] = loss.detach()


def test_rates_moments_and_loss_scale_come_back(tmp_path: Path) -> None:
    whole, before, after = Small(), Small(), Small()
    whole.run(0, 12)
    before.run(0, 7)
    checkpoints = CheckpointManager(tmp_path, seconds=0.0)
    checkpoints.save_when_due(before.state, 7)
    assert checkpoints.resume(after.state) == 7
    after.run(7, 12)
    assert torch.equal(after.weight, whole.weight) and torch.equal(after.state.losses, whole.state.losses)
    assert after.state.scaler.get_scale() == whole.state.scaler.get_scale() > 2.0
    assert after.state.schedule.get_last_lr() == whole.state.schedule.get_last_lr()
    after.run(0, 1)
    assert not torch.equal(after.weight, whole.weight)


def test_checkpoints_come_when_they_are_due(tmp_path: Path) -> None:
    small = Small()
    small.run(0, 3)
    CheckpointManager(tmp_path / "late", seconds=3600.0).save_when_due(small.state, 3)
    CheckpointManager(tmp_path / "last", seconds=0.0).save_when_due(small.state, 12)
    assert not list(tmp_path.rglob("*.safetensors")), "not due, and after the last step"
    assert CheckpointManager(tmp_path / "late").resume(small.state) == 0
