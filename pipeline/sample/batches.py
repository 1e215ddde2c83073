"""Draw many images batch by batch; finished batches are kept in a scratch folder, so a killed run loses one at most."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from pipeline.errors import UserError
from pipeline.models import StableDiffusion
from pipeline.progress import Progress
from pipeline.sample.compiled import compile_if_worth_it
from pipeline.sample.later import Undecoded, decoded, draw_undecoded, joined
from pipeline.sample.memory import images_at_a_time
from pipeline.sample.pieces import Pieces
from pipeline.sample.png import KEY, Lineage, format_parameters
from pipeline.sample.sampler import Drawn, Settings, draw, encode_prompts, exact
from pipeline.storage import (
    encode_png,
    free_bytes,
    load_tensors,
    remove_folder,
    replacing_folder,
    save_tensors,
    sha256_file,
    write_bytes,
)

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

    def unfinished(self) -> list[int]:
        """Numbers of the batches that are still to be drawn."""
        return [number for number, (folder, _) in enumerate(self.parts()) if not folder.is_dir()]

    def images(self, numbers: Sequence[int]) -> int:
        """How many images these batches have."""
        parts = self.parts()
        return sum(len(parts[number][1]) for number in numbers)


def generate(model: StableDiffusion, plan: Plan) -> None:
    """Draw every batch that is not finished yet into `plan.scratch`, and show progress. Raises as `draw_batches` does."""
    todo = plan.unfinished()
    with Progress(f"sample {plan.name}", len(plan.jobs)) as progress:
        progress.advance(len(plan.jobs) - plan.images(todo))
        draw_batches(model, plan, todo, progress.advance)


def draw_batches(model: StableDiffusion, plan: Plan, todo: Sequence[int], advance: Callable[[int], None]) -> None:
    """Draw the batches numbered `todo` into `plan.scratch`; `advance` hears how many images each had.

    Raises UserError, finished batches kept, on NaN, a full disk or too little memory.
    """
    _require_space(plan, plan.images(todo))
    # All prompts, not just those left: the encoder's batches, and so its rounding, must not depend on a restart.
    prompts = list(dict.fromkeys(job.prompt for job in plan.jobs))
    unconditional = encode_prompts(model, [""], plan.settings)
    conditions = dict(zip(prompts, encode_prompts(model, prompts, plan.settings), strict=True))
    pieces = Pieces(f"sample {plan.name}", images_at_a_time(model, plan.settings, plan.batch))
    parts = plan.parts()
    writing: Future[None] | None = None
    with ThreadPoolExecutor(max_workers=1) as writer, exact():
        compile_if_worth_it(model, plan.settings, unconditional, pieces.rows, plan.images(todo))
        for folder, jobs in (parts[number] for number in todo):
            drawn = _draw(model, torch.stack([conditions[job.prompt] for job in jobs]), unconditional, plan, jobs, pieces)
            if writing is not None:
                writing.result()
            # What is left to do goes on while the next batch is drawn: on a GPU decoding too, PNGs everywhere.
            writing = writer.submit(_finish, model, folder, drawn, jobs, plan)
            advance(len(jobs))
        if writing is not None:
            writing.result()


def _draw(
    model: StableDiffusion,
    conditions: torch.Tensor,
    unconditional: torch.Tensor,
    plan: Plan,
    jobs: Sequence[Job],
    pieces: Pieces,
) -> list[Drawn | Undecoded]:
    """One batch, in pieces that fit the memory; on a CPU decoded, elsewhere still to be."""

    def work(rows: slice) -> Drawn | Undecoded:
        texts, seeds = conditions[rows], [job.seed for job in jobs[rows]]
        if model.device.type == "cpu":
            return draw(model, texts, unconditional, seeds, plan.settings)
        return draw_undecoded(model, texts, unconditional, seeds, plan.settings, pieces.rows)

    return pieces.each(work, len(jobs))


def _finish(model: StableDiffusion, folder: Path, pieces: Sequence[Drawn | Undecoded], jobs: Sequence[Job], plan: Plan) -> None:
    """Write one batch. Raises UserError when a latent is NaN or infinite, and when there is no memory to decode it."""
    drawn = joined([piece if isinstance(piece, Drawn) else decoded(model, piece, plan.name) for piece in pieces])
    broken = drawn.not_finite()
    if broken:
        raise UserError(
            f"{jobs[broken[0]].file} of {plan.name} has NaN or infinity in its latents; finished images are kept: "
            "run again with precision fp32, or train with a lower learning rate"
        )
    _write(folder, drawn, jobs, plan.lineage)


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
    remove_folder(plan.scratch)
    if plan.scratch.parent.is_dir() and not any(plan.scratch.parent.iterdir()):
        plan.scratch.parent.rmdir()
