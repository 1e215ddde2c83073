"""The trainer's process: what happens when it fails, or only seems to succeed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.diffusion.families.sd1.sd_scripts import set_sizes
from pipeline.train import stage
from pipeline.train.kohya import launch
from pipeline.train.kohya.entry import trainer_class
from pipeline.train.kohya.launch import Options
from train.train_project import view

# A stand-in for sd-scripts: enough of its interface for our entry to run, and a `train` for each way to fail.
TRAIN_NETWORK = """
import argparse, torch

class NetworkTrainer:
    def process_batch(self, batch):
        return torch.tensor({loss})

    def train(self, args):
        for step in range({steps}):
            self.on_step_start(args, None, None, None, None, {{"input_ids_list": [torch.zeros(2, 1, 77)]}}, None)
            self.process_batch(None)
        {then}

def setup_parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config_file")
    parser.add_argument("--seed", default=0)
    parser.add_argument("--pretrained_model_name_or_path", default="nowhere")
    return parser
"""
TRAIN_UTIL = """
def verify_command_line_training_args(args): pass
def read_config_from_file(args, parser): return args
"""
FAILURES = {
    "no data": ("0.5", 0, "print('No data found. Please verify')", r"after 0 of 3 steps.*No data found"),
    "no file": ("0.5", 3, "pass", r"wrote no lora\.safetensors"),
    "exception": ("0.5", 1, "raise AssertionError('image too large')", "sd-scripts failed: AssertionError: image too large"),
    "not a number": ("float('nan')", 3, "pass", "sd-scripts failed: the loss is nan at step 1; lower unet_lr"),
}


@pytest.fixture(autouse=True)
def without_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the entry directly: accelerate's launcher adds seconds and nothing that these tests look at."""
    monkeypatch.setattr(launch, "launcher", lambda device, processes: [sys.executable])


@pytest.mark.parametrize("failure", FAILURES)
def test_a_training_without_its_result_fails_with_the_trainers_words(project: Layout, failure: str) -> None:
    loss, steps, then, expected = FAILURES[failure]
    vendored = project.root / "vendor/sd-scripts"
    (vendored / "library").mkdir(parents=True)
    (vendored / "train_network.py").write_text(TRAIN_NETWORK.format(loss=loss, steps=steps, then=then))
    (vendored / "library/train_util.py").write_text(TRAIN_UTIL)
    with pytest.raises(UserError, match=expected) as caught:
        stage.run(view(trainer="kohya"), 1, project, "cpu")
    assert str(project.log("train", 1)) in str(caught.value)
    assert project.log("train", 1).is_file() and not project.model(1).exists()


def test_missing_sd_scripts_names_both_ways_out(project: Layout) -> None:
    with pytest.raises(UserError, match="run 'make vendor', or set trainer: builtin in params.yaml"):
        stage.run(view(trainer="kohya"), 1, project, "cpu")


@pytest.mark.parametrize(("name", "value"), [("precision", "fp16"), ("optimizer", "AdamW8bit"), ("attention", "xformers")])
def test_what_needs_a_gpu_is_refused_before_anything_starts(project: Layout, name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"{name}: {value} needs a GPU"):
        stage.run(view(**{name: value}), 1, project, "cpu")


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("Traceback (most recent call last):\n  File x\nValueError: bad\nTraceback (most recent call last):\n"
         "subprocess.CalledProcessError: Command '...' returned non-zero exit status 1.", "ValueError: bad"),
        ("one\ntwo\nsteps:  33%|###   | 1/3 [00:00<00:00,  3.25it/s]\n\nthree\nfour", "two / three / four"),
        ("steps: 1%|#| 1/3\rRuntimeError: CUDA out of memory", "RuntimeError: CUDA out of memory"),
        ("", "it printed nothing"),
    ],
    ids=["launcher's own traceback", "progress bars", "error behind a bar", "silence"],
)  # fmt: skip
def test_last_words_are_what_a_user_needs(log: str, words: str) -> None:
    assert launch.last_words(log) == words


def test_a_line_still_being_written_is_no_loss_yet(tmp_path: Path) -> None:
    path = tmp_path / "loss.csv"
    assert launch.read_losses(path) == []
    path.write_text("step,loss\n1,0.5\n2,0.2")
    assert launch.read_losses(path) == [0.5]


def test_the_trainer_without_condition_drop_hands_on_the_very_same_ids(tmp_path: Path) -> None:
    trainer = trainer_class(object, Options(0.0, str(tmp_path / "loss.csv"), "sd1"))()
    ids = torch.zeros(2, 1, 77)
    batch = {"input_ids_list": [ids]}
    trainer.on_step_start(type("Args", (), {"seed": 1}), None, None, None, None, batch, None)
    assert batch["input_ids_list"][0] is ids


def test_a_unet_that_sd_scripts_cannot_build_is_named(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text('{"layers_per_block": 1, "block_out_channels": [32], "attention_head_dim": 8}')
    with pytest.raises(UserError, match="layers_per_block is 1, sd-scripts needs 2"):
        set_sizes(str(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process ask to die with its parent")
def test_a_killed_parent_takes_the_trainer_with_it() -> None:
    child = "import time; from pipeline.core.process import die_with_parent; die_with_parent(); print('up'); time.sleep(60)"
    parent = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-uc", {child!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be collected does not."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
