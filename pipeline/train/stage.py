"""Stage train: T_k, M_0 (or M_{k-1}) -> models/M_k/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline import lora
from pipeline.errors import UserError
from pipeline.params import View
from pipeline.paths import Layout
from pipeline.storage import replacing_folder, sha256_file, write_json, write_text
from pipeline.train import config
from pipeline.train.config import Job
from pipeline.train.kohya import launch
from pipeline.train.kohya.options import Options

_GPU_WORKERS = 2


@dataclass(frozen=True)
class Run:
    """One training: what it reads, and the folder that will become M_k."""

    params: View
    job: Job
    layout: Layout
    device: str
    folder: Path

    @property
    def lora(self) -> Path:
        return self.folder / self.layout.lora(self.job.k).name

    @property
    def losses(self) -> Path:
        return self.folder / self.layout.losses(self.job.k).name


def run(params: View, k: int, layout: Layout, device: str) -> None:
    """Train M_k. Its folder appears whole or not at all. Raises UserError when the training fails."""
    check_device(params, device)
    if params.trainer == "kohya":
        launch.find_sd_scripts(layout.root)
    job = config.read_job(params, k, layout)
    config.copy_tokenizer(job, layout.root)
    with replacing_folder(layout.model(k)) as folder:
        current = Run(params, job, layout, device, folder)
        _write_texts(current, folder)
        lineage = _TRAINERS[params.trainer](current)
        # The published files name the folder's final place, so that sd-scripts can be run on them by hand.
        _write_texts(current, layout.model(k))
        write_json(folder / "lineage.json", lineage | _lineage(current))


def dry_run(params: View, k: int, layout: Layout, device: str = "cpu") -> tuple[str, str]:
    """The texts of train.toml and dataset.toml that `run` would write for M_k; writes nothing."""
    files = config.texts(params, config.read_job(params, k, layout), layout.model(k), layout.root, _workers(device))
    return files["train.toml"], files["dataset.toml"]


def check_device(params: View, device: str) -> None:
    """Raise UserError for what works on a GPU only."""
    if device != "cpu":
        return
    for name, value, instead in (
        ("precision", params.precision, "fp32"),
        ("optimizer", params.optimizer, "AdamW"),
        ("attention", params.attention, "sdpa"),
    ):
        if value != instead:
            raise UserError(f"{name}: {value} needs a GPU, and there is none; set {name}: {instead} in params.yaml")


def _workers(device: str) -> int:
    return 0 if device == "cpu" else _GPU_WORKERS


def _write_texts(current: Run, place: Path) -> None:
    """Write the trainer's input files, which say that they are in `place`."""
    files = config.texts(current.params, current.job, place, current.layout.root, _workers(current.device))
    for name, text in files.items():
        write_text(current.folder / name, text)


def _train_kohya(current: Run) -> dict[str, object]:
    """Run sd-scripts and rewrite its LoRA in place, canonically. Returns what lineage.json says about the trainer."""
    raw = current.lora
    options = Options(current.params.condition_drop, str(current.losses.resolve()))
    launch.run(
        current.folder / "train.toml",
        current.layout.root,
        current.device,
        options,
        current.job.steps,
        current.layout.log("train", current.job.k),
        local_model=current.job.tokenizer is not None,
    )
    if not raw.is_file():
        log = current.layout.log("train", current.job.k)
        raise UserError(f"sd-scripts ended without an error, but wrote no {raw.name}; see {log}")
    commit = launch.commit(launch.find_sd_scripts(current.layout.root))
    weights = lora.read(raw)
    lora.check_finite(weights, current.layout.lora(current.job.k))
    lora.save(raw, weights, _metadata(current) | {"ss_sd_scripts_commit_hash": commit})
    return {"trainer": "kohya", "sd_scripts_commit": commit}


def _train_builtin(current: Run) -> dict[str, object]:
    """Train in this process. Returns what lineage.json says about the trainer."""
    from pipeline.train.builtin import train
    from pipeline.train.settings import read_settings

    root = current.layout.root
    settings = read_settings(current.folder / "train.toml", root)
    result = train(settings, root, current.device, current.params.condition_drop)
    rows = [f"{step},{loss!r}\n" for step, loss in enumerate(result.losses, 1)]
    lora.check_finite(result.weights, current.layout.lora(current.job.k))
    write_text(current.losses, "step,loss\n" + "".join(rows))
    lora.save(current.lora, result.weights, _metadata(current))
    return {"trainer": "builtin"}


_TRAINERS: dict[str, Callable[[Run], dict[str, object]]] = {"kohya": _train_kohya, "builtin": _train_builtin}


def _metadata(current: Run) -> dict[str, str]:
    """What LoRA users' tools show, without what differs between equal runs (times, session)."""
    params, job = current.params, current.job
    return {
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": Path(job.model).name,
        "ss_new_sd_model_hash": job.base_sha256,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(params.rank),
        "ss_network_alpha": str(float(params.alpha)),
        "ss_clip_skip": str(params.clip_skip),
        "ss_max_token_length": str(params.max_token_length),
        "ss_resolution": f"({params.resolution}, {params.resolution})",
        "ss_steps": str(job.steps),
        "ss_output_name": f"M_{job.k}",
    }


def _lineage(current: Run) -> dict[str, object]:
    """Where M_k comes from, as hashes."""
    k = current.job.k
    previous = current.job.previous
    return {
        "k": k,
        "base_sha256": current.job.base_sha256,
        "training_set_sha256": sha256_file(current.layout.training_set(k)),
        "previous_lora_sha256": sha256_file(previous) if previous else None,
        "lora_sha256": sha256_file(current.lora),
        "steps": current.job.steps,
        "condition_drop": current.params.condition_drop,
    }
