"""SDXL's sampler against diffusers' own StableDiffusionXLPipeline, against the plain U-Net, and in other batches."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from pipeline.core.randomness import generator
from pipeline.diffusion import lora
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.models import load_base
from pipeline.methods.diffusers_arguments import diffusers_arguments
from pipeline.methods.schedules.constant import Constant
from pipeline.methods.schedules.exponential import Exponential
from pipeline.sample.sampler import load_merged
from sample.drawing import PROMPTS, STEPS, draw_prompts, settings, write_random_lora

SEEDS = [11, 22, 33, 44, 55]


@pytest.fixture(scope="module")
def model(tiny_xl: Path) -> StableDiffusion:
    return load_base(tiny_xl)


@pytest.fixture(scope="module")
def pipe(tiny_xl: Path) -> StableDiffusionXLPipeline:
    return pipeline_of(tiny_xl)


def pipeline_of(folder: Path) -> StableDiffusionXLPipeline:
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw_with(pipe: StableDiffusionXLPipeline, output: str = "latent", **arguments: Any) -> Any:
    how = {"guidance_scale": 7.5, "num_inference_steps": STEPS, "height": 64, "width": 64, "output_type": output} | arguments
    seeds = [generator(seed) for seed in SEEDS]
    return pipe(prompt=PROMPTS, negative_prompt=[""] * len(PROMPTS), generator=seeds, **how).images


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert float((ours - theirs).abs().max() / theirs.std()) < 1e-4


def test_diffusers_draws_the_same_latents(model: StableDiffusion, pipe: StableDiffusionXLPipeline) -> None:
    assert_same(draw_prompts(model, PROMPTS, SEEDS, settings()).latents, draw_with(pipe))


def test_diffusers_draws_the_same_pixels(model: StableDiffusion, pipe: StableDiffusionXLPipeline) -> None:
    ours = draw_prompts(model, PROMPTS, SEEDS, settings(Constant(2.0))).pixels
    theirs = np.stack([np.asarray(image) for image in draw_with(pipe, "pil", guidance_scale=2.0)])
    assert ours.std() > 1 and np.abs(ours.astype(int) - theirs).max() <= 1
    assert (ours != theirs).mean() < 1e-3


def test_a_schedule_is_the_same_in_a_diffusers_pipeline(model: StableDiffusion, pipe: StableDiffusionXLPipeline) -> None:
    theirs = draw_with(pipe, **diffusers_arguments(pipe, Exponential(3.0, 9.0), STEPS))
    assert_same(draw_prompts(model, PROMPTS, SEEDS, settings(Exponential(3.0, 9.0))).latents, theirs)


def test_diffusers_draws_the_same_with_a_lora(tiny_xl: Path, model: StableDiffusion, tmp_path: Path) -> None:
    weights = write_random_lora(tiny_xl, tmp_path / "lora.safetensors", size=0.05)
    merged, theirs = load_base(tiny_xl), pipeline_of(tiny_xl)
    lora.merge(merged, weights)
    theirs.load_lora_weights(tmp_path, weight_name=weights.name)
    ours = draw_prompts(merged, PROMPTS, SEEDS, settings()).latents
    assert_same(ours, draw_with(theirs))
    assert float((ours - draw_prompts(model, PROMPTS, SEEDS, settings()).latents).abs().max()) > 0.1, "the LoRA must matter"


def test_the_diff_norm_is_that_of_the_plain_unet_at_the_first_step(model: StableDiffusion) -> None:
    how = settings(steps=1)
    recorded = draw_prompts(model, PROMPTS, SEEDS, how).diff_norm[:, 0]
    noise = torch.stack([torch.randn(4, 8, 8, generator=generator(seed)) for seed in SEEDS])
    sigma = how.noise_levels[0]
    scaled = noise * sigma / (sigma**2 + 1) ** 0.5
    with torch.inference_mode():
        branches = [model.encode(model.tokenize(prompts)) for prompts in ([""] * 5, PROMPTS)]
        blank, named = (model.predict(scaled, torch.tensor(999.0), branch) for branch in branches)
    torch.testing.assert_close(recorded, (named - blank).flatten(1).norm(dim=1), rtol=1e-3, atol=1e-4)


def test_an_image_does_not_depend_on_its_batch(model: StableDiffusion) -> None:
    whole = draw_prompts(model, PROMPTS, SEEDS, settings()).pixels
    parts = [draw_prompts(model, PROMPTS[i : i + 2], SEEDS[i : i + 2], settings()).pixels for i in range(0, 5, 2)]
    assert np.abs(np.concatenate(parts).astype(int) - whole).max() <= 1


def test_bfloat16_draws_almost_the_same_picture(tiny_xl: Path, model: StableDiffusion) -> None:
    how = settings(Constant(1.5))
    small = load_merged(tiny_xl, None, None, "bf16", "cpu")
    exact, rough = (draw_prompts(each, PROMPTS, SEEDS, how).latents for each in (model, small))
    assert float((exact - rough).std() / exact.std()) < 0.1
