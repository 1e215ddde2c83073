"""The builtin trainer in several processes: start them, and what each of them runs."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import io
import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext, redirect_stderr
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.json_files import read_json, write_json
from pipeline.core.process import die_with_parent, dying_with_parent
from pipeline.diffusion import lora
from pipeline.diffusion.devices import devices_of
from pipeline.train.builtin import Result, train
from pipeline.train.distributed import ProcessGroup
from pipeline.train.processes import environment, launcher
from pipeline.train.settings import read_settings

_VARIABLE = "REDIFINE_TOGETHER"
_WEIGHTS, _LOSSES, _ERROR = "lora.safetensors", "losses.json", "error.txt"


@dataclass(frozen=True)
class Task:
    """What the processes are told. `folder`: where the first of them leaves the result."""

    train_toml: str
    root: str
    device: str
    processes: int
    condition_drop: float
    folder: str

    def file(self, name: str) -> Path:
        return Path(self.folder) / name


def train_distributed(train_toml: Path, root: Path, device: str, condition_drop: float, processes: int) -> Result:
    """Train as `builtin.train`, in several processes, which show the first one's progress. Raise UserError when one fails."""
    devices_of(device, processes)
    with tempfile.TemporaryDirectory() as folder:
        task = Task(str(train_toml.resolve()), str(root.resolve()), device, processes, condition_drop, folder)
        command = [*launcher(device, processes), "-m", "pipeline.train.distributed_launch"]
        values = environment(device, [], {_VARIABLE: json.dumps(asdict(task))})
        code = subprocess.run(dying_with_parent(command), env=values, stdout=subprocess.DEVNULL, check=False).returncode
        if task.file(_ERROR).is_file():
            raise UserError(task.file(_ERROR).read_text(encoding="utf-8"))
        if code != 0 or not task.file(_LOSSES).is_file():
            raise UserError(f"the {processes} training processes ended with exit code {code}; see their output above")
        return Result(lora.read(task.file(_WEIGHTS)), read_json(task.file(_LOSSES))["losses"])


def _member(task: Task, rank: int) -> None:
    """Train as one process of several."""
    import torch

    device = devices_of(task.device, task.processes)[rank]
    if device != "cpu":
        torch.accelerator.set_device_index(rank)
    torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    settings = read_settings(Path(task.train_toml), Path(task.root))
    with nullcontext() if rank == 0 else redirect_stderr(io.StringIO()):
        result = train(settings, Path(task.root), device, task.condition_drop, group=ProcessGroup(rank, task.processes))
    if rank == 0:
        lora.save(task.file(_WEIGHTS), result.weights)
        write_json(task.file(_LOSSES), {"losses": result.losses})
    torch.distributed.destroy_process_group()


def main() -> None:
    die_with_parent()
    task = Task(**json.loads(os.environ[_VARIABLE]))
    try:
        _member(task, int(os.environ["RANK"]))
    except UserError as error:
        write_text(task.file(_ERROR), str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()
