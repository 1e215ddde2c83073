"""Run the vendored sd-scripts through `accelerate launch`, show its progress, and turn its failures into one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pipeline
from pipeline import paths
from pipeline.errors import UserError
from pipeline.process import die_with_parent
from pipeline.progress import Progress
from pipeline.train.kohya.options import Options

_POLL_SECONDS = 0.2
_LAST_LINES = 3
_NOISE = re.compile(r"it/s|s/it|%\||^\s*$|Warning|warn\(")
_EXCEPTION = re.compile(r"^[\w.]*(Error|Exception|Exit|Interrupt)\b.*")
_LAUNCHER = "subprocess.CalledProcessError"


def find_sd_scripts(root: Path) -> Path:
    """The vendored sd-scripts, absolute. Raises UserError when it is not there."""
    found = paths.sd_scripts(root)
    if found is None:
        raise UserError(
            "trainer is kohya, but vendor/sd-scripts is not there; run 'make vendor', or set trainer: builtin in params.yaml"
        )
    return found.resolve()


def commit(sd_scripts: Path) -> str:
    """The commit of the vendored sd-scripts, "unknown" when it is not a git checkout."""
    command = ["git", "-C", str(sd_scripts), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return answer.stdout.strip() if (sd_scripts / ".git").exists() and answer.returncode == 0 else "unknown"


def run(train_toml: Path, root: Path, device: str, options: Options, steps: int, log: Path, local_model: bool) -> None:
    """Train as `train_toml` says, with `root` as the working directory and all output in `log`.

    Raises UserError with the trainer's own last words when it fails, or when it ends after another number of steps.
    """
    sd_scripts = find_sd_scripts(root)
    command = [*_accelerate(device), "-m", "pipeline.train.kohya.entry", "--config_file", str(train_toml.resolve())]
    environment = _environment(sd_scripts, device, options, local_model)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
        )
        try:
            done = _follow(process, Path(options.loss_file), steps)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise UserError(f"sd-scripts failed: {last_words(log.read_text(errors='replace'))} (all of its output: {log})")
    if done != steps:
        raise UserError(
            f"sd-scripts ended after {done} of {steps} steps without an error: "
            f"{last_words(log.read_text(errors='replace'))} (all of its output: {log})"
        )


def _accelerate(device: str) -> list[str]:
    """Every choice is spelled out, so that neither a user's accelerate configuration nor a guess can change the run."""
    import torch

    threads = str(torch.get_num_threads())
    fixed = ["--num_processes", "1", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    where = ["--cpu"] if device == "cpu" else []
    return [sys.executable, "-m", "accelerate.commands.launch", *fixed, "--num_cpu_threads_per_process", threads, *where]


def _environment(sd_scripts: Path, device: str, options: Options, local_model: bool) -> Mapping[str, str]:
    """sd-scripts and this very pipeline on the path; offline when the model is, so that no look-up can stall a run."""
    package_root = str(Path(pipeline.__file__).resolve().parents[1])
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, str(sd_scripts), os.environ.get("PYTHONPATH")]))
    environment["PYTHONUNBUFFERED"] = "1"
    environment.update(options.to_environment())
    if local_model:
        environment["HF_HUB_OFFLINE"] = "1"
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    elif ":" in device:
        environment["CUDA_VISIBLE_DEVICES"] = _visible_device(int(device.partition(":")[2]))
    return environment


def _visible_device(index: int) -> str:
    """The GPU that this process calls `index`, in the numbering of its own environment."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[index] if visible else str(index)


def _follow(process: subprocess.Popen[bytes], loss_file: Path, steps: int) -> int:
    """Show progress from the growing loss file until the process ends; returns the number of steps done."""
    read = 0
    with Progress("train", steps) as progress:
        running = True
        while running:
            running = process.poll() is None
            rows = read_losses(loss_file)
            if len(rows) > read:
                progress.note(f"loss {rows[-1]:.4f}")
                progress.advance(len(rows) - read)
                read = len(rows)
            if running:
                time.sleep(_POLL_SECONDS)
    return read


def read_losses(loss_file: Path) -> list[float]:
    """The losses written so far; a line that is still being written does not count."""
    if not loss_file.is_file():
        return []
    lines = loss_file.read_text().split("\n")[1:-1]
    return [float(line.partition(",")[2]) for line in lines]


def last_words(log: str) -> str:
    """What a failed run's log has to say, in one line: its last exception, else its last lines that are no progress bar."""
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in log.splitlines()]
    exceptions = [line for line in lines if _EXCEPTION.match(line) and not line.startswith(_LAUNCHER)]
    if exceptions:
        return exceptions[-1].removeprefix("pipeline.errors.UserError: ")
    spoken = [line.strip() for line in lines if not _NOISE.search(line)]
    return " / ".join(spoken[-_LAST_LINES:]) or "it said nothing"
