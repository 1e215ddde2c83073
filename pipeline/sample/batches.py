"""Draw many images batch by batch; finished batches are kept in a scratch folder, so a killed run loses one at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, free_bytes, write_bytes
from pipeline.core.images import encode_png
from pipeline.core.progress import Progress
from pipeline.core.tensors import save_tensors
from pipeline.diffusion.compiled import compile_checked, is_compiled, should_compile
from pipeline.diffusion.deterministic import exact
from pipeline.diffusion.families import DiffusionModel
from pipeline.sample.image_plan import Plan, PlannedImage
from pipeline.sample.memory import ShrinkingBatches, images_at_a_time
from pipeline.sample.outputs import TRACE, pack
from pipeline.sample.png import KEY, ImageLineage, format_parameters
from pipeline.sample.sampler import Drawn, PromptEncodings, SampleSettings, decode, draw_latents, encode_prompts

_WORTH_PIXELS = 256 * 512 * 512
"""From this many pixels on, compiling (a minute or two the first time) should pay for itself."""


_GPU_OPTIONS = {"triton.cudagraphs": True, "deterministic": True}
"""Deterministic: kernels are not chosen by timing them, which could choose others the next time, with another rounding."""


def generate(model: DiffusionModel, plan: Plan) -> None:
    """Draw every batch that is not finished yet into `plan.scratch`, and show progress. Raise as `draw_batches` does.

    Shards are packed as soon as all of their images are there.
    """
    todo = plan.unfinished()
    with Progress(f"sample {plan.name}", len(plan.images)) as progress:
        progress.advance(len(plan.images) - plan.count_images(todo))
        draw_batches(model, plan, todo, progress.advance, partial(pack, plan))


def draw_batches(
    model: DiffusionModel,
    plan: Plan,
    todo: Sequence[int],
    advance: Callable[[int], None],
    written: Callable[[], None] = lambda: None,
) -> None:
    """Draw the batches numbered `todo` into `plan.scratch`; `advance` hears how many images each had, and `written` is called
    each time that one is on the disk.

    Raise UserError, finished batches kept, on NaN, a full disk or too little memory.
    """
    _require_space(plan, plan.count_images(todo))
    unconditional = encode_prompts(model, [plan.settings.negative], plan.settings)
    conditions = PromptEncodings(model, (image.prompt for image in plan.images), plan.settings)
    shrinking = ShrinkingBatches(f"sample {plan.name}", images_at_a_time(model, plan.settings, plan.batch))
    parts = plan.parts()
    writing: Future[None] | None = None
    with exact(), ThreadPoolExecutor(max_workers=1) as writer:
        # By all images, not by those that are left: a compiled U-Net rounds otherwise, and a run that goes on, or shares the
        # images with others, must draw what one undisturbed run draws.
        compile_if_worth_it(model, plan.settings, unconditional, shrinking.rows, len(plan.images))
        for folder, images in (parts[number] for number in todo):
            queued = _draw(model, conditions.of([image.prompt for image in images]), unconditional, plan, images, shrinking)
            if writing is not None:
                writing.result()
            # PNGs are compressed and written while the next batch is drawn.
            writing = writer.submit(_finish, folder, queued, images, plan, written)
            advance(len(images))
        if writing is not None:
            writing.result()


def _draw(
    model: DiffusionModel,
    conditions: torch.Tensor,
    unconditional: torch.Tensor,
    plan: Plan,
    images: Sequence[PlannedImage],
    shrinking: ShrinkingBatches,
) -> list[Drawn]:
    """Draw one batch, in parts that fit the memory."""

    def work(rows: slice) -> Drawn:
        seeds = [image.seed for image in images[rows]]
        return queue_batch(model, conditions[rows], unconditional, seeds, plan.settings, shrinking.rows, plan.name)

    return shrinking.each(work, len(images))


def queue_batch(
    model: DiffusionModel,
    conditions: torch.Tensor,
    unconditional: torch.Tensor,
    seeds: Sequence[int],
    settings: SampleSettings,
    rows: int,
    name: str,
) -> Drawn:
    """As `sampler.draw`; on a GPU all of it, decoding too, is queued there, in one stream, and nothing is waited for.

    A compiled U-Net always gets `rows` images, so that it is compiled for one shape. Raise UserError when there is no memory
    to decode even one image of `name`.
    """
    count = len(seeds)
    if is_compiled(model.denoiser) and count < rows:
        conditions = torch.cat([conditions, conditions[-1:].expand(rows - count, *conditions.shape[1:])])
        seeds = [*seeds, *[seeds[-1]] * (rows - count)]
    latents, diff_norm = draw_latents(model, conditions, unconditional, seeds, settings)
    decoding = ShrinkingBatches(f"sample {name}, decoding", count)
    parts = decoding.each(lambda part: decode(model, latents[:count][part]), count)
    pixels, finite = (_to_cpu(torch.cat(halves)) for halves in zip(*parts, strict=True))
    latents, diff_norm = _to_cpu(latents[:count]), _to_cpu(diff_norm[:count])
    return Drawn(pixels.numpy(), latents, diff_norm, finite, _recorded(model.device))


def _to_cpu(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.device.type != "cuda":
        return tensor.cpu()
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def _recorded(device: torch.device) -> torch.cuda.Event | None:
    """Return the event of the device having done all that was queued so far."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event(blocking=True)
    event.record(torch.cuda.current_stream(device))
    return event


_TENSORS = ("latents", "diff_norm", "finite")


def concatenate(parts: Sequence[Drawn]) -> Drawn:
    """Join the parts of a batch."""
    if len(parts) == 1:
        return parts[0]
    latents, diff_norm, finite = (torch.cat([getattr(part, name) for part in parts]) for name in _TENSORS)
    return Drawn(np.concatenate([part.pixels for part in parts]), latents, diff_norm, finite)


def _finish(
    folder: Path, parts: Sequence[Drawn], images: Sequence[PlannedImage], plan: Plan, written: Callable[[], None]
) -> None:
    """Write one batch, as soon as it is there. Raise UserError for NaN or infinity."""
    drawn = concatenate([part.wait() for part in parts])
    broken = drawn.not_finite()
    if broken:
        raise UserError(
            f"{images[broken[0]].file} of {plan.name} has NaN or infinity in its latents or pixels; finished images are kept: "
            "run again with precision fp32, train with a lower learning rate, or check the model's weights"
        )
    _write(folder, drawn, images, plan.lineage)
    written()


def _write(folder: Path, drawn: Drawn, images: Sequence[PlannedImage], lineage: ImageLineage) -> None:
    with atomic_folder(folder) as partial:
        for pixels, image in zip(drawn.pixels, images, strict=True):
            fields = lineage.fields(image.prompt_index, image.image_index, image.seed)
            write_bytes(partial / image.file, encode_png(pixels, {KEY: format_parameters(image.prompt, fields)}))
        save_tensors(partial / TRACE, {"diff_norm": drawn.diff_norm, "latents": drawn.latents})


def _require_space(plan: Plan, images: int) -> None:
    """Raise UserError when the disk cannot hold the images left to draw; PNGs are at most as large as their pixels."""
    needed = images * plan.settings.height * plan.settings.width * 3
    free = free_bytes(plan.scratch)
    if free < needed:
        raise UserError(
            f"{plan.name} may need {needed / 2**20:.0f} MiB, and {plan.scratch} has {free / 2**20:.0f} MiB free; "
            "free some disk space and run again, finished images are kept"
        )


def compile_if_worth_it(
    model: DiffusionModel, settings: SampleSettings, condition: torch.Tensor, rows: int, images: int
) -> None:
    """Compile the model's U-Net for batches of `rows` images when there are enough of them to draw, and it works."""
    if not should_compile(model.device, images * settings.height * settings.width >= _WORTH_PIXELS):
        return
    options = {} if model.device.type == "cpu" else _GPU_OPTIONS
    # The example too: tensors made outside are of another kind, for which the next call would compile again.
    with torch.inference_mode():
        inputs = _example(model, settings, condition, rows)
        compile_checked(model.denoiser, lambda: model.predict(*inputs), options, "sample")


def _example(model: DiffusionModel, settings: SampleSettings, condition: torch.Tensor, rows: int) -> tuple[torch.Tensor, ...]:
    """Return inputs of the shapes that sampling has: both branches of `rows` images."""
    cell = model.pixels_per_latent
    shape = (2 * rows, model.latent_channels, settings.height // cell, settings.width // cell)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    latents = noise.to(model.device, model.dtype).to(memory_format=model.memory_format)
    both = condition.expand(2 * rows, *condition.shape[1:]).contiguous()
    return latents, torch.tensor(500.0, device=model.device), both
