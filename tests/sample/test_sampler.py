"""The sampler against diffusers' own StableDiffusionPipeline, against the plain U-Net, and against itself in other batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawing import PROMPTS, STEPS, diffusers_pipeline, draw_prompts, pipeline_arguments, settings, write_random_lora

from pipeline.core.randomness import generator
from pipeline.diffusion import lora
from pipeline.diffusion.devices import dtype_of
from pipeline.diffusion.models import load_base
from pipeline.methods.diffusers_arguments import diffusers_arguments
from pipeline.methods.schedules.constant import Constant
from pipeline.methods.schedules.cosine import Cosine
from pipeline.methods.schedules.exponential import Exponential
from pipeline.methods.schedules.interval import Interval
from pipeline.methods.schedules.linear import Linear
from pipeline.sample import sampler
from pipeline.sample.sampler import encode_prompts, to_uint8

SEEDS = [11, 22, 33, 44, 55]


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_base(tiny_model)


@pytest.fixture(scope="module")
def pipe(tiny_model):
    return diffusers_pipeline(tiny_model)


def _latents(pipe, **arguments):
    return pipe(generator=[generator(seed) for seed in SEEDS], output_type="latent", **arguments).images


def _assert_same(ours, theirs):
    """Within 1e-4 of the latents' spread: random weights at scale 7.5 drive them to some 20 standard deviations."""
    assert float((ours - theirs).abs().max() / theirs.std()) < 1e-4


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_diffusers_draws_the_same_latents(model, pipe, clip_skip):
    ours = draw_prompts(model, PROMPTS, SEEDS, settings(clip_skip=clip_skip)).latents
    _assert_same(ours, _latents(pipe, guidance_scale=7.5, **pipeline_arguments(pipe, clip_skip)))


def test_diffusers_draws_the_same_pixels(model, pipe):
    ours = draw_prompts(model, PROMPTS, SEEDS, settings(Constant(2.0))).pixels
    output = pipe(guidance_scale=2.0, generator=[generator(seed) for seed in SEEDS], **pipeline_arguments(pipe))
    theirs = np.stack([np.asarray(image) for image in output.images])
    assert ours.dtype == np.uint8 and ours.std() > 1
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert (ours != theirs).mean() < 1e-3


def test_diffusers_draws_the_same_with_a_lora(tiny_model, model, tmp_path):
    weights = write_random_lora(tiny_model, tmp_path / "lora.safetensors")
    merged, theirs = load_base(tiny_model), diffusers_pipeline(tiny_model)
    lora.merge(merged, weights)
    theirs.load_lora_weights(tmp_path, weight_name=weights.name)
    ours = draw_prompts(merged, PROMPTS, SEEDS, settings()).latents
    _assert_same(ours, _latents(theirs, guidance_scale=7.5, **pipeline_arguments(theirs)))
    assert float((ours - draw_prompts(model, PROMPTS, SEEDS, settings()).latents).abs().max()) > 0.1, "the LoRA must matter"


def test_diffusers_draws_the_same_from_225_tokens(model, pipe):
    how = settings(max_token_length=225)
    prompts = [" ".join([prompt or "tail"] * 30) for prompt in PROMPTS]
    embeddings, empty = encode_prompts(model, prompts, how), encode_prompts(model, [""], how)
    assert embeddings.shape == (5, 227, 32)
    theirs = _latents(
        pipe, prompt_embeds=embeddings, negative_prompt_embeds=empty.expand_as(embeddings),
        num_inference_steps=STEPS, guidance_scale=7.5,
    )  # fmt: skip
    _assert_same(draw_prompts(model, prompts, SEEDS, how).latents, theirs)


@pytest.mark.parametrize(
    "schedule",
    [Exponential(3.0, 9.0), Linear(5.0, 0.0), Cosine(0.5, 4.0), Interval(6.0, 0.3, 5.0)],
    ids=lambda schedule: schedule.describe(),
)
def test_a_schedule_is_the_same_in_a_diffusers_pipeline_below_scale_one_too(model, pipe, schedule):
    theirs = _latents(pipe, **{**pipeline_arguments(pipe), **diffusers_arguments(pipe, schedule, STEPS)})
    _assert_same(draw_prompts(model, PROMPTS, SEEDS, settings(schedule)).latents, theirs)


def test_scale_one_is_the_conditional_model_alone(model, pipe):
    ours = draw_prompts(model, PROMPTS, SEEDS, settings(Constant(1.0))).latents
    _assert_same(ours, _latents(pipe, guidance_scale=1.0, **pipeline_arguments(pipe)))


def test_recorded_diff_norms_are_those_of_the_plain_unet(model, pipe):
    """Walk diffusers' trajectory, and compare both branches by hand at each of its latents."""
    how = settings(Constant(2.0))
    states, empty = encode_prompts(model, PROMPTS, how), encode_prompts(model, [""], how).expand(5, -1, -1)
    visited = [_first_latents(pipe)]
    _latents(
        pipe, prompt_embeds=states, negative_prompt_embeds=empty, num_inference_steps=STEPS, guidance_scale=2.0,
        callback_on_step_end=lambda pipe, step, time, tensors: visited.append(tensors["latents"]) or {},
    )  # fmt: skip
    norms = []
    for x, sigma, time in zip(visited[:-1], pipe.scheduler.sigmas[:-1], pipe.scheduler.timesteps, strict=True):
        scaled = x / (sigma**2 + 1) ** 0.5
        with torch.inference_mode():
            conditional, unconditional = (pipe.unet(scaled, time, encoder_hidden_states=s).sample for s in (states, empty))
        norms.append((conditional - unconditional).square().sum(dim=(1, 2, 3)).sqrt())
    recorded = draw_prompts(model, PROMPTS, SEEDS, how).diff_norm
    assert recorded.shape == (5, STEPS)
    torch.testing.assert_close(recorded, torch.stack(norms, dim=1), rtol=2e-3, atol=1e-6)


def _first_latents(pipe):
    pipe.scheduler.set_timesteps(STEPS)
    noise = torch.stack([torch.randn(4, 8, 8, generator=generator(seed)) for seed in SEEDS])
    return noise * pipe.scheduler.sigmas[0]


def test_an_image_does_not_depend_on_its_batch_nor_on_the_order(model):
    whole = draw_prompts(model, PROMPTS, SEEDS, settings())
    order = [3, 0, 4, 1, 2]
    moved = draw_prompts(model, [PROMPTS[i] for i in order], [SEEDS[i] for i in order], settings())
    assert np.array_equal(moved.pixels, whole.pixels[order]), "same shapes: same bits"
    for size in (2, 3):
        parts = [draw_prompts(model, PROMPTS[i : i + size], SEEDS[i : i + size], settings()) for i in range(0, 5, size)]
        pixels = np.concatenate([part.pixels for part in parts])
        assert np.abs(pixels.astype(int) - whole.pixels).max() <= 1
        assert (pixels != whole.pixels).mean() < 1e-3


def test_drawing_again_gives_the_same_bits(model):
    first, second = (draw_prompts(model, PROMPTS, SEEDS, settings()) for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert torch.equal(first.latents, second.latents) and torch.equal(first.diff_norm, second.diff_norm)


def test_decoding_in_parts_changes_nothing(model, monkeypatch):
    latents = torch.randn(5, 4, 8, 8, generator=generator(0))
    whole = sampler.decode(model, latents)[0].numpy()
    monkeypatch.setattr(sampler, "DECODE_PIXELS", 2 * 64 * 64)
    assert np.abs(sampler.decode(model, latents)[0].int().numpy() - whole).max() <= 1


def test_pixels_are_clamped_and_rounded_to_the_nearest_level():
    values = torch.tensor([-3.0, -1.0, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1, 0.0, 1.0, 3.0])
    images = values.reshape(1, 1, 1, -1).expand(1, 3, 1, -1)
    assert to_uint8(images)[0, 0, :, 0].tolist() == [0, 0, 0, 1, 128, 255, 255]


def test_half_precision_on_a_cpu_becomes_float32_but_bfloat16_does_not():
    assert dtype_of("fp16", "cpu") is torch.float32
    assert dtype_of("bf16", "cpu") is torch.bfloat16
    assert dtype_of("fp16", "meta") is torch.float16


def test_bfloat16_draws_almost_the_same_picture(tiny_model, model):
    how = settings(Constant(1.5))
    small = load_base(tiny_model).move_to("cpu", torch.bfloat16)
    exact, rough = (draw_prompts(m, PROMPTS, SEEDS, how) for m in (model, small))
    assert rough.latents.dtype == torch.float32
    assert float((exact.latents - rough.latents).std() / exact.latents.std()) < 0.1
