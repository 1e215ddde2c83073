"""Images per second of our sampler and of diffusers' pipeline: the same model, batch, steps and guidance, PNGs included."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import copy
import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline

from benchmarks.paper_scale.models import CAPTION
from benchmarks.paper_scale.scale import Scale, compiling, interleaved
from pipeline.core.errors import UserError
from pipeline.diffusion.compiled import is_compiled, release_memory, restore
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.noise_schedule import BETA_END, BETA_START
from pipeline.methods.schedules.constant import Constant
from pipeline.sample.batches import Plan, PlannedImage, generate
from pipeline.sample.png import ImageLineage
from pipeline.sample.sampler import SampleSettings

CFG = 7.5
WAYS = ("plain", "compiled")

Run = Callable[[], object]


def compare(model: StableDiffusion, scale: Scale) -> dict[str, float]:
    """{"ours, compiled, batch 8": images per second, ...}; plain runs take turns, then, on a GPU, compiled ones.

    A batch that does not fit or cannot be compiled is left out, and said.
    """
    found: dict[str, float] = {}
    for compiled in [way == "compiled" for way in scale.ways if scale.on_gpu or way == "plain"]:
        for batch in scale.batches:
            count = scale.count(batch)
            label = f"{'compiled' if compiled else 'plain'}, batch {batch}"
            runs: dict[str, Run] = {
                f"ours, {label}": ours(model, scale, batch, count, compiled),
                f"diffusers, {label}": theirs(model, scale, batch, count, compiled),
            }
            try:
                for name, seconds in interleaved(runs, scale.repeats, scale.device).items():
                    found[name] = count / seconds
                    scale.keep(name, found[name])
                    print(f"{name:32} {found[name]:8.3f} images/s", flush=True)
            except (RuntimeError, UserError) as error:
                print(f"{label}: {error}", flush=True)
            restore(model.unet)
            # Graphs of other shapes would count against torch's limit of compilations, and hold memory.
            torch._dynamo.reset()
            release_memory()
    return found


def ours(model: StableDiffusion, scale: Scale, batch: int, count: int, compiled: bool) -> Run:
    """A whole stage but for loading the model: prompts encoded, images drawn, decoded, and written as PNGs."""
    settings = SampleSettings(Constant(CFG), scale.steps, scale.side, scale.side, max_token_length=scale.tokens)
    jobs = [PlannedImage(f"{i:05d}.png", i, 0, f"{CAPTION} {i}", i) for i in range(count)]

    def run() -> None:
        with TemporaryDirectory() as folder, compiling(compiled and not is_compiled(model.unet)):
            generate(
                model, Plan("D_1", jobs, settings, ImageLineage("sd15", "0" * 64, None, CFG, settings), batch, Path(folder))
            )
        if compiled and not is_compiled(model.unet):
            raise RuntimeError("our U-Net could not be compiled, so there is nothing to compare")

    return run


def theirs(model: StableDiffusion, scale: Scale, batch: int, count: int, compiled: bool) -> Run:
    """diffusers' pipeline as its documentation makes it fast: channels_last, and both networks compiled with autotuning."""
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=BETA_START, beta_end=BETA_END, beta_schedule="scaled_linear", steps_offset=1
    )
    # Shallow copies: the same weights in modules of their own, so that compiling them leaves ours alone.
    unet, vae = copy.copy(model.unet), copy.copy(model.vae)
    vae.register_to_config(scaling_factor=model.family.latent_scale)
    if compiled:
        unet = torch.compile(unet, mode="max-autotune", fullgraph=True)
        vae.decode = torch.compile(vae.decode, mode="max-autotune", fullgraph=True)
    pipe = StableDiffusionPipeline(
        vae, model.text_encoder, model.tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)

    def run() -> None:
        for start in range(0, count, batch):
            numbers = range(start, start + batch)
            # On the model's own device, where diffusers need not wait for noise from the CPU.
            chance = [torch.Generator(model.device).manual_seed(i) for i in numbers]
            images = pipe(
                [f"{CAPTION} {i}" for i in numbers], height=scale.side, width=scale.side, guidance_scale=CFG, clip_skip=1,
                num_inference_steps=scale.steps, generator=chance,
            ).images  # fmt: skip
            for image in images:
                image.save(io.BytesIO(), "PNG", compress_level=1)

    return run
