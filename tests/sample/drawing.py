"""What several tests of the sampler need: a tiny model's settings, a random LoRA, diffusers' pipeline on the same files."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from pipeline.core.randomness import generator
from pipeline.diffusion import lora
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.lora_targets import target_modules
from pipeline.diffusion.models import load_base
from pipeline.methods.schedules.constant import Constant
from pipeline.sample.sampler import Drawn, SampleSettings, draw, encode_prompts

PROMPTS = ["a round red creature with two blue eyes", "a tall green creature (striped), horns", "", "curly tail", "two eyes"]
STEPS = 4


def settings(schedule=None, **changes) -> SampleSettings:
    values = {"schedule": schedule or Constant(7.5), "steps": STEPS, "height": 64, "width": 64, **changes}
    return SampleSettings(**values)


def draw_prompts(model: StableDiffusion, prompts: list[str], seeds: list[int], how: SampleSettings) -> Drawn:
    return draw(model, encode_prompts(model, prompts, how), encode_prompts(model, [""], how), seeds, how)


def diffusers_pipeline(folder: Path) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def write_random_lora(model: Path, path: Path, seed: int = 0, size: float = 0.1) -> Path:
    """A LoRA of rank 4 on every layer that kohya trains, far from zero."""
    base, noise = load_base(model), generator(seed)
    weights = {}
    for name, layer in target_modules(base).items():
        out, into, *kernel = layer.weight.shape
        down, up = (size * torch.randn(*shape, *kernel, generator=noise) for shape in ((4, into), (out, 4)))
        weights[name] = lora.LowRank(down, up, 2.0)
    lora.save(path, weights)
    return path


def pipeline_arguments(pipe: StableDiffusionPipeline, clip_skip: int = 2) -> dict:
    """The prompts as diffusers encodes them; it applies clip_skip to the prompt alone, so the empty one goes in as a prompt."""
    skipped = clip_skip - 1 or None
    empty, _ = pipe.encode_prompt([""] * len(PROMPTS), "cpu", 1, False, clip_skip=skipped)
    return {"prompt": PROMPTS, "negative_prompt_embeds": empty, "clip_skip": skipped, "num_inference_steps": STEPS}
