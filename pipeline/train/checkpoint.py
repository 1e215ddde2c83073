"""Unfinished training on disk: a killed run of the builtin trainer goes on at its last checkpoint, to the same bytes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.core.errors import UserError
from pipeline.core.files import remove_scratch
from pipeline.core.tensors import load_tensors, save_tensors

_EVERY_SECONDS = 30.0
_SHARE = 50
"""A checkpoint that takes long to write comes more rarely: one part in so many of the time goes into writing."""


@dataclass(frozen=True)
class State:
    """All that changes from step to step. Chance is not in here: what it decides is a function of seed and step."""

    parameters: Sequence[nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    scaler: torch.amp.GradScaler
    losses: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return losses [steps], parameter.I, and the optimizer's moments and step count of each: optimizer.I.NAME."""
        found = {"losses": self.losses, **{f"parameter.{i}": value for i, value in enumerate(self.parameters)}}
        for i, moments in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
        return found

    def numbers(self) -> dict[str, Any]:
        """Return the rest, as JSON can hold it: its floats are read back as the very same."""
        return {"schedule": self.schedule.state_dict(), "scaler": self.scaler.state_dict()}

    def restore(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        """Become what `tensors` and `numbers` were when they were taken, in place."""
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, number, moment = name.split(".")
                moments.setdefault(int(number), {})[moment] = value
        with torch.no_grad():
            for index, parameter in enumerate(self.parameters):
                parameter.copy_(tensors[f"parameter.{index}"])
        self.losses.copy_(tensors["losses"])
        self.schedule.load_state_dict(numbers["schedule"])
        self.scaler.load_state_dict(numbers["scaler"])
        groups = self.optimizer.state_dict()["param_groups"]
        for group, rate in zip(groups, self.schedule.get_last_lr(), strict=True):
            group["lr"] = rate
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})


class CheckpointManager:
    """Writes a training's state into `folder` every so many seconds, and finds it there again."""

    def __init__(self, folder: Path, seconds: float = _EVERY_SECONDS) -> None:
        self._file, self._seconds = folder / "checkpoint.safetensors", seconds
        self._due = time.monotonic() + seconds

    def resume(self, state: State) -> int:
        """Bring `state` to the last checkpoint and return how many steps are done; 0, all as it was, where there is none."""
        if not self._file.is_file():
            return 0
        try:
            tensors, metadata = load_tensors(self._file)
            numbers = json.loads(metadata["numbers"])
            state.restore(tensors, numbers)
        except UserError as error:
            print(f"the checkpoint cannot be used, training starts again: {error}", file=sys.stderr)
            return 0
        print(f"train: goes on at step {numbers['step']} of {len(state.losses)}", file=sys.stderr)
        return int(numbers["step"])

    def save_when_due(self, state: State, step: int) -> None:
        """Write the state after `step` steps if the last time is long ago. A checkpoint that cannot be written is left out."""
        started = time.monotonic()
        if started < self._due or step == len(state.losses):
            return
        try:
            save_tensors(
                self._file, state.tensors(), {"numbers": json.dumps({"step": step, **state.numbers()}, sort_keys=True)}
            )
        except UserError as error:
            print(f"no checkpoint at step {step}, training goes on: {error}", file=sys.stderr)
        ended = time.monotonic()
        self._due = ended + max(self._seconds, _SHARE * (ended - started))

    def discard(self) -> None:
        """Remove the checkpoint, and the folder around it when nothing else is in there."""
        remove_scratch(self._file.parent)
