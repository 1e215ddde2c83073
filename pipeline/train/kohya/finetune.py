"""Run sd-scripts on somebody's own config TOML, with condition drop: its output passes through, its failure is one sentence."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pipeline
from pipeline.chain import paths
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json
from pipeline.core.process import dying_with_parent
from pipeline.diffusion.devices import devices_of
from pipeline.train.kohya.finetune_entry import Task
from pipeline.train.processes import environment, launcher, nodes

_PATIENCE_SECONDS = 10.0
"""How long sd-scripts, which Ctrl-C reaches too, has to end by itself."""


def finetune(
    config: Path, options: Sequence[str], condition_drop: float, device: str, processes: int = 1, where: Path = Path()
) -> dict[str, Any]:
    """Train a LoRA as `config`, sd-scripts' --config_file, and its own `options` say, with their paths counted from `where`.

    Return what `finetune_outcome.outcome_of` does, {} where the options ask for no training. Raise UserError in one sentence
    when there is no sd-scripts, the settings cannot come to a LoRA, or the training fails.
    """
    sd_scripts = find_sd_scripts(where)
    _check_config(where, config, options)
    if nodes() > 1:
        raise UserError("'redifine finetune' trains on one machine; unset REDIFINE_NODES")
    devices_of(device, processes)
    with tempfile.TemporaryDirectory() as folder:
        task = Task(str(config), condition_drop, device, folder)
        # Without the current folder on Python's path: in a checkout of sd-scripts it would be taken for ours.
        values = environment(device, [sd_scripts], task.to_environment() | {"PYTHONSAFEPATH": "1"})
        start = launcher(device, processes) if processes > 1 else [sys.executable]
        command = [*start, "-m", "pipeline.train.kohya.finetune_entry", "--config_file", str(config), *options]
        code = _run(command, where, values)
        outcome = read_json(task.outcome) if task.outcome.is_file() else {}
    if "error" in outcome:
        raise UserError(outcome["error"])
    if code != 0:
        raise UserError(_ended(code))
    return outcome


def find_sd_scripts(where: Path) -> Path:
    """Return the vendored sd-scripts, absolute: of the project around the folder, else of this installation.

    Raise UserError when there is none.
    """
    package = Path(pipeline.__file__).resolve().parents[1]
    for root in (where, package):
        if (found := paths.sd_scripts(root)) is not None:
            return found.resolve()
    raise UserError(f"sd-scripts, which trains, is not here; run 'make vendor' in {package}")


def _check_config(where: Path, config: Path, options: Sequence[str]) -> None:
    if config.suffix != ".toml":
        raise UserError(f"{config} must be sd-scripts' config file, whose name ends in .toml; give it before all options")
    if not (where / config).is_file():
        raise UserError(f"there is no file {config}; give your sd-scripts config (its --config_file)")
    if any(word.partition("=")[0] == "--config_file" for word in options):
        raise UserError(f"--config_file is {config} already; give one config file")


def _run(command: Sequence[str], where: Path, values: dict[str, str]) -> int:
    """Run a command in this terminal, in the folder `where` -> its exit status; Ctrl-C ends both."""
    process = subprocess.Popen(dying_with_parent(command), cwd=where, env=values)
    try:
        return process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise
    finally:
        process.kill()
        process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that Ctrl-C has reached as well, and send it the signal where it has not."""
    for _ in range(2):
        try:
            process.wait(_PATIENCE_SECONDS / 2)
            return
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)


def _ended(code: int) -> str:
    """Return a sentence on a process that could not say itself why it ended."""
    if code == -signal.SIGKILL:
        return "sd-scripts was killed (signal 9), often because the system is out of memory; set train_batch_size lower"
    if code < 0:
        return f"sd-scripts was ended by {signal.Signals(-code).name}; see its output above"
    return f"sd-scripts failed with exit code {code}; see its output above"
