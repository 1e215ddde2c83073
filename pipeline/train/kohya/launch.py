"""Run the vendored sd-scripts through `accelerate launch`, show its progress, and turn its failures into one sentence."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import toml

from pipeline.chain import paths
from pipeline.core.errors import UserError
from pipeline.core.process import dying_with_parent
from pipeline.core.progress import Progress
from pipeline.train.out_of_memory import LESS_MEMORY
from pipeline.train.processes import environment, launcher
from pipeline.versioning.git import head_of_checkout

_POLL_SECONDS = 0.2
_LAST_LINES = 3
_NOISE = re.compile(r"it/s|s/it|%\||^\s*$|Warning|warn\(")
_EXCEPTION = re.compile(r"^(?:\[rank\d+\]: )?([\w.]*(?:Error|Exception|Exit|Interrupt)\b.*)")
_LAUNCHERS = ("subprocess.CalledProcessError", "torch.distributed.elastic.")


_VARIABLE = "REDIFINE_KOHYA"


@dataclass(frozen=True)
class Options:
    """What sd-scripts has no option for. `loss_file`: where each step's loss is written; `family`: the model's."""

    condition_drop: float
    loss_file: str
    family: str

    def to_environment(self) -> dict[str, str]:
        return {_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Options:
        return cls(**json.loads(environment[_VARIABLE]))


def find_sd_scripts(root: Path) -> Path:
    """Return the vendored sd-scripts, absolute. Raise UserError when it is not there."""
    found = paths.sd_scripts(root)
    if found is None:
        raise UserError(
            "trainer is kohya, but vendor/sd-scripts is not there; run 'make vendor', or set trainer: builtin in params.yaml"
        )
    return found.resolve()


def commit(sd_scripts: Path) -> str:
    """Return the commit of the vendored sd-scripts, "unknown" when it is not a git checkout."""
    return head_of_checkout(sd_scripts) or "unknown"


def run(
    train_toml: Path,
    root: Path,
    device: str,
    options: Options,
    steps: int,
    log: Path,
    local_model: bool,
    processes: int = 1,
) -> None:
    """Train as `train_toml` says, with `root` as the working directory and all output in `log`.

    Several processes share each batch, so that its size and the number of updates are what the TOMLs say. Raise UserError
    with the trainer's last words when it fails, when it ends after another number of steps, or when a batch cannot be shared.
    """
    sd_scripts = find_sd_scripts(root)
    entry = [*launcher(device, processes), "-m", "pipeline.train.kohya.entry", "--config_file", str(train_toml.resolve())]
    # Offline when the model is, so that no look-up can stall a run.
    offline = {"HF_HUB_OFFLINE": "1"} if local_model else {}
    values = environment(device, [sd_scripts], options.to_environment() | offline)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, tempfile.TemporaryDirectory() as folder:
        command = [*entry, *shared_dataset(train_toml, root, processes, Path(folder))]
        process = subprocess.Popen(dying_with_parent(command), cwd=root, env=values, stdout=output, stderr=subprocess.STDOUT)
        try:
            done = _follow(process, Path(options.loss_file), steps)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise UserError(f"sd-scripts failed: {_reason(process.returncode, log)} (all of its output: {log})")
    if done != steps:
        raise UserError(
            f"sd-scripts ended after {done} of {steps} steps without an error: "
            f"{last_words(log.read_text(errors='replace'))} (all of its output: {log})"
        )


def shared_dataset(train_toml: Path, root: Path, processes: int, folder: Path) -> list[str]:
    """Return arguments that give each of several processes its share of a batch, by a copy of dataset.toml in `folder`.

    sd-scripts takes batch_size for that of each process. Raise UserError when it cannot be divided.
    """
    if processes == 1:
        return []
    settings = {name: value for section in toml.loads(train_toml.read_text()).values() for name, value in section.items()}
    dataset = toml.loads((root / settings["dataset_config"]).read_text())
    for part in dataset["datasets"]:
        if part["batch_size"] % processes:
            raise UserError(
                f"batch_size {part['batch_size']} cannot be shared evenly by {processes} processes; set --processes to a "
                "divisor of it, or trainer: builtin in params.yaml, which shares any batch"
            )
        part["batch_size"] //= processes
    shared = folder / "dataset.toml"
    shared.write_text(toml.dumps(dataset))
    return ["--dataset_config", str(shared)]


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
    """Return the losses written so far; a line that is still being written does not count."""
    if not loss_file.is_file():
        return []
    lines = loss_file.read_text().split("\n")[1:-1]
    return [float(line.partition(",")[2]) for line in lines]


def _reason(code: int, log: Path) -> str:
    """Return why a run failed: its last words, but for what is better said in ours."""
    text = log.read_text(errors="replace")
    words = last_words(text)
    if "out of memory" in words:
        return f"out of memory in a training step; {LESS_MEMORY}"
    if code == -signal.SIGKILL or "SIGKILL" in text:
        return f"it was killed (signal 9), often because the system is out of memory: {LESS_MEMORY}"
    return words


def last_words(log: str) -> str:
    """Return what a failed run's log has to say, in one line: its last exception, else its last lines but progress bars."""
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in log.splitlines()]
    exceptions = [found.group(1) for line in lines if (found := _EXCEPTION.match(line))]
    own = [exception for exception in exceptions if not exception.startswith(_LAUNCHERS)]
    if own:
        return own[-1].removeprefix("pipeline.core.errors.UserError: ")
    spoken = [line.strip() for line in lines if not _NOISE.search(line)]
    return " / ".join(spoken[-_LAST_LINES:]) or "it printed nothing"
