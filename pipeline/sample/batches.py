"""Draw many images batch by batch; finished batches are kept in a scratch folder, so a killed run loses one at most."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from pipeline.errors import UserError
from pipeline.models import StableDiffusion
from pipeline.progress import Progress
from pipeline.sample.png import KEY, Lineage, format_parameters
from pipeline.sample.sampler import Drawn, Settings, draw, encode_prompts
from pipeline.storage import encode_png, free_bytes, load_tensors, replacing_folder, save_tensors, sha256_file, write_bytes

_TRACE = "trace.safetensors"


@dataclass(frozen=True)
class Job:
    """One image to draw."""

    file: str
    prompt_index: int
    image_index: int
    prompt: str
    seed: int


@dataclass(frozen=True)
class Plan:
    """Images to draw, in order, `batch` at a time; `name` says in messages what they are ("D_3")."""

    name: str
    jobs: list[Job]
    settings: Settings
    lineage: Lineage
    batch: int
    scratch: Path

    def parts(self) -> list[tuple[Path, list[Job]]]:
        """(folder, jobs) of each batch; the folder exists when the batch is finished."""
        starts = range(0, len(self.jobs), self.batch)
        return [(self.scratch / f"{start:06d}", self.jobs[start : start + self.batch]) for start in starts]


def generate(model: StableDiffusion, plan: Plan) -> None:
    """Draw every batch that is not finished yet into `plan.scratch`.

    Raises UserError, finished batches kept, on NaN, a full disk or too little memory.
    """
    todo = [(folder, jobs) for folder, jobs in plan.parts() if not folder.is_dir()]
    left = sum(len(jobs) for _, jobs in todo)
    _require_space(plan, left)
    # All prompts, not just those left: the encoder's batches, and so its rounding, must not depend on a restart.
    prompts = list(dict.fromkeys(job.prompt for job in plan.jobs))
    unconditional = encode_prompts(model, [""], plan.settings)
    conditions = dict(zip(prompts, encode_prompts(model, prompts, plan.settings), strict=True))
    with Progress(f"sample {plan.name}", len(plan.jobs)) as progress, ThreadPoolExecutor(max_workers=1) as writer:
        progress.advance(len(plan.jobs) - left)
        writing: Future[None] | None = None
        for folder, jobs in todo:
            drawn = _draw(model, torch.stack([conditions[job.prompt] for job in jobs]), unconditional, plan, jobs)
            if writing is not None:
                writing.result()
            # PNGs are compressed and written while the next batch is drawn.
            writing = writer.submit(_write, folder, drawn, jobs, plan.lineage)
            progress.advance(len(jobs))
        if writing is not None:
            writing.result()


def _draw(model: StableDiffusion, conditions: torch.Tensor, unconditional: torch.Tensor, plan: Plan, jobs: list[Job]) -> Drawn:
    try:
        drawn = draw(model, conditions, unconditional, [job.seed for job in jobs], plan.settings)
    except torch.OutOfMemoryError as error:
        raise UserError(f"no memory to draw {len(jobs)} images at a time; set sample_batch lower and run again") from error
    broken = drawn.not_finite()
    if broken:
        raise UserError(
            f"{jobs[broken[0]].file} of {plan.name} has NaN or infinity in its latents; finished images are kept: "
            "run again with precision fp32, or train with a lower learning rate"
        )
    return drawn


def _write(folder: Path, drawn: Drawn, jobs: Sequence[Job], lineage: Lineage) -> None:
    with replacing_folder(folder) as partial:
        for pixels, job in zip(drawn.pixels, jobs, strict=True):
            fields = lineage.fields(job.prompt_index, job.image_index, job.seed)
            write_bytes(partial / job.file, encode_png(pixels, {KEY: format_parameters(job.prompt, fields)}))
        save_tensors(partial / _TRACE, {"diff_norm": drawn.diff_norm, "latents": drawn.latents})


def _require_space(plan: Plan, images: int) -> None:
    """Raise UserError when the disk cannot hold the images left to draw; PNGs are at most as large as their pixels."""
    needed = images * plan.settings.height * plan.settings.width * 3
    free = free_bytes(plan.scratch)
    if free < needed:
        raise UserError(
            f"{plan.name} may need {needed / 2**20:.0f} MiB, and {plan.scratch} has {free / 2**20:.0f} MiB free; "
            "make room and run again, finished images are kept"
        )


def collect(plan: Plan, folder: Path) -> list[dict[str, str | int]]:
    """Put every finished image into `folder` -> the manifest's rows, in order."""
    rows: list[dict[str, str | int]] = []
    for part, jobs in plan.parts():
        for job in jobs:
            _link_or_copy(part / job.file, folder / job.file)
            rows.append({**asdict(job), "sha256": sha256_file(folder / job.file)})
    return rows


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name costs no room on the disk, where the file system has such. Raises UserError when the disk is full."""
    try:
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    except OSError as error:
        reason = error.strerror
        raise UserError(f"cannot write {target.name}: {reason}; finished images are kept, make room and run again") from error


def collect_traces(plan: Plan) -> dict[str, torch.Tensor]:
    """What was recorded: diff_norm [N,T], latents [N,4,h,w], and each step's sigmas [T] and scales [T], all float32."""
    parts = [load_tensors(part / _TRACE)[0] for part, _ in plan.parts()]
    return {
        "diff_norm": torch.cat([part["diff_norm"] for part in parts]),
        "latents": torch.cat([part["latents"] for part in parts]),
        "sigmas": torch.tensor(plan.settings.noise_levels, dtype=torch.float32),
        "scales": torch.tensor(plan.settings.scales, dtype=torch.float32),
    }


def discard(plan: Plan) -> None:
    """Remove the scratch folder, and the folder around it when nothing else is in there."""
    shutil.rmtree(plan.scratch, ignore_errors=True)
    if plan.scratch.parent.is_dir() and not any(plan.scratch.parent.iterdir()):
        plan.scratch.parent.rmdir()
