"""Stage train: T_k, M_0 (or M_{k-1}) -> models/M_k/."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.chain.run_environment import made_on, run_environment
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, sha256_bytes, sha256_file, write_text
from pipeline.core.json_files import write_json
from pipeline.diffusion import lora
from pipeline.diffusion.devices import CPU_CHOICES, check_precision, devices_of
from pipeline.diffusion.families import FAMILIES
from pipeline.inputs.base_models.identity import require_recorded
from pipeline.train import config
from pipeline.train.kohya import launch
from pipeline.train.kohya.launch import Options
from pipeline.train.processes import nodes
from pipeline.train.training_inputs import TrainingInputs, copy_tokenizer, image_files, read_inputs

if TYPE_CHECKING:
    from pipeline.train.checkpoint import CheckpointManager

_GPU_WORKERS = 2


@dataclass(frozen=True)
class TrainingRun:
    """One training: what it reads, and the folder that will become M_k."""

    params: View
    inputs: TrainingInputs
    layout: Layout
    device: str
    folder: Path
    checkpoints: CheckpointManager
    processes: int = 1

    @property
    def lora(self) -> Path:
        return self.folder / self.layout.lora(self.inputs.k).name

    @property
    def losses(self) -> Path:
        return self.folder / self.layout.losses(self.inputs.k).name


def run(params: View, k: int, layout: Layout, device: str, processes: int = 1) -> None:
    """Train M_k. Its folder appears whole or not at all; a killed builtin training goes on at its last checkpoint.

    Raise UserError when M_0's files have changed since they were recorded, and when the training fails.
    """
    from pipeline.train.checkpoint import CheckpointManager

    check_device(params, device)
    devices_of(device, max(1, processes // nodes()))
    if nodes() > 1 and params.trainer == "builtin" and device != "cpu":
        raise UserError("only trainer: kohya trains on the GPUs of several nodes; set it in params.yaml")
    if params.trainer == "kohya":
        launch.find_sd_scripts(layout.root)
    inputs = read_inputs(params, k, layout)
    require_recorded(layout.base_record(), layout.root / inputs.model, layout.root / inputs.vae if inputs.vae else None)
    family = FAMILIES[inputs.family]
    if device == "cpu" and params.trainer == "kohya" and params.precision not in family.sd_scripts_cpu_precisions:
        what = f"{family.layout.name} in {params.precision} on a CPU"
        raise UserError(f"sd-scripts trains no {what}; set precision: fp32 or trainer: builtin")
    copy_tokenizer(inputs, layout)
    checkpoints = CheckpointManager(_unfinished(params, inputs, layout, device))
    paths = [example.path for example in inputs.examples]
    with atomic_folder(layout.model(k)) as folder:
        current = TrainingRun(params, inputs, layout, device, folder, checkpoints, processes)
        with image_files(paths, layout.root, layout.scratch / f"images/T_{k}") as images:
            running = replace(current, inputs=replace(inputs, images=images))
            _write_texts(running, folder)
            lineage = _TRAINERS[params.trainer](running)
        # The published files name where the folder will be, so that sd-scripts can be run on them by hand.
        _write_texts(current, layout.model(k))
        several = {"processes": processes} if processes > 1 else {}
        write_json(folder / "lineage.json", lineage | several | _lineage(current))
    checkpoints.discard()


def _unfinished(params: View, inputs: TrainingInputs, layout: Layout, device: str) -> Path:
    """Return where checkpoints of this very training are: the name is a hash of all that decides the bytes of M_k."""
    key = {
        "base": inputs.base_sha256,
        "k": inputs.k,
        "params": params.as_dict(),
        "previous": sha256_file(inputs.previous) if inputs.previous else None,
        "steps": inputs.steps,
        "run_environment": run_environment(device),
        "training_set": sha256_file(layout.training_set(inputs.k)),
    }
    return layout.scratch / "train" / sha256_bytes(json.dumps(key, sort_keys=True).encode())[:16]


def dry_run(params: View, k: int, layout: Layout, device: str) -> tuple[str, str]:
    """Return the texts of train.toml and dataset.toml that `run` would write for M_k; writes nothing."""
    files = config.texts(params, read_inputs(params, k, layout), layout.model(k), layout.root, _workers(device))
    return files["train.toml"], files["dataset.toml"]


def check_device(params: View, device: str) -> None:
    """Raise UserError for what works on a GPU only, and for what this GPU does not."""
    if device != "cpu":
        check_precision(params.precision, device)
        return
    for name, allowed in CPU_CHOICES:
        if (value := getattr(params, name)) not in allowed:
            raise UserError(f"{name}: {value} needs a GPU, and there is none; set {name}: {allowed[0]} in params.yaml")


def _workers(device: str) -> int:
    return 0 if device == "cpu" else _GPU_WORKERS


def _write_texts(current: TrainingRun, published: Path) -> None:
    """Write the trainer's input files, which say that they are in `published`."""
    files = config.texts(current.params, current.inputs, published, current.layout.root, _workers(current.device))
    for name, text in files.items():
        write_text(current.folder / name, text)


def _train_kohya(current: TrainingRun) -> dict[str, object]:
    """Run sd-scripts and rewrite its LoRA in place, canonically. Return what lineage.json says about the trainer."""
    raw = current.lora
    options = Options(current.params.condition_drop, str(current.losses.resolve()), current.inputs.family)
    launch.run(
        current.folder / "train.toml",
        current.layout.root,
        current.device,
        options,
        current.inputs.steps,
        current.layout.log("train", current.inputs.k),
        local_model=current.inputs.tokenizer is not None,
        processes=current.processes,
    )
    if not raw.is_file():
        log = current.layout.log("train", current.inputs.k)
        raise UserError(f"sd-scripts ended without an error, but wrote no {raw.name}; see {log}")
    commit = launch.commit(launch.find_sd_scripts(current.layout.root))
    weights = lora.read(raw)
    lora.check_finite(weights, current.layout.lora(current.inputs.k))
    lora.save(raw, weights, _metadata(current) | {"ss_sd_scripts_commit_hash": commit})
    return {"trainer": "kohya", "sd_scripts_commit": commit}


def _train_builtin(current: TrainingRun) -> dict[str, object]:
    """Train in this process. Return what lineage.json says about the trainer."""
    from pipeline.train.builtin import train
    from pipeline.train.distributed_launch import train_distributed
    from pipeline.train.settings import read_settings

    root = current.layout.root
    settings = read_settings(current.folder / "train.toml", root)
    if current.processes == 1:
        result = train(settings, root, current.device, current.params.condition_drop, checkpoints=current.checkpoints)
    else:
        toml = current.folder / "train.toml"
        result = train_distributed(toml, root, current.device, current.params.condition_drop, current.processes)
    rows = [f"{step},{loss!r}\n" for step, loss in enumerate(result.losses, 1)]
    lora.check_finite(result.weights, current.layout.lora(current.inputs.k))
    write_text(current.losses, "step,loss\n" + "".join(rows))
    lora.save(current.lora, result.weights, _metadata(current))
    return {"trainer": "builtin"}


_TRAINERS: dict[str, Callable[[TrainingRun], dict[str, object]]] = {"kohya": _train_kohya, "builtin": _train_builtin}


def _metadata(current: TrainingRun) -> dict[str, str]:
    """Return what LoRA users' tools show, without what differs between equal runs (times, session)."""
    params, inputs = current.params, current.inputs
    family = FAMILIES[inputs.family]
    return {
        "ss_base_model_version": family.base_model_version,
        "ss_sd_model_name": Path(inputs.model).name,
        "ss_new_sd_model_hash": inputs.base_sha256,
        "ss_network_module": family.network_module,
        "ss_network_dim": str(params.rank),
        "ss_network_alpha": str(float(params.alpha)),
        "ss_clip_skip": str(params.clip_skip),
        "ss_max_token_length": str(params.max_token_length),
        "ss_resolution": f"({params.resolution}, {params.resolution})",
        "ss_steps": str(inputs.steps),
        "ss_output_name": f"M_{inputs.k}",
    }


def _lineage(current: TrainingRun) -> dict[str, object]:
    """Return where M_k comes from, as hashes, and what it was made on."""
    k = current.inputs.k
    previous = current.inputs.previous
    return {
        "k": k,
        "made_on": made_on(current.device),
        "base_sha256": current.inputs.base_sha256,
        "training_set_sha256": sha256_file(current.layout.training_set(k)),
        "previous_lora_sha256": sha256_file(previous) if previous else None,
        "lora_sha256": sha256_file(current.lora),
        "steps": current.inputs.steps,
        "condition_drop": current.params.condition_drop,
    }
