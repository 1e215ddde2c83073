"""The miniature's parts: latents that suit sd-scripts' constant, a tokenizer for any text, SD's noise schedule."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch import nn

from pipeline.diffusion.noise_schedule import alphas_cumprod
from pipeline.miniature.drawings import make_drawings, to_unit_range
from pipeline.miniature.tokenizer import train_tokenizer
from pipeline.miniature.training_loop import MatrixOptimizer, as_matrix, cosine_with_warmup, fit
from pipeline.miniature.vae import SCALING_FACTOR, encode, rescale_latents


def test_rescaling_latents_changes_their_scale_and_no_image(tiny_model: Path) -> None:
    vae = AutoencoderKL.from_pretrained(tiny_model / "vae").eval()
    images = make_drawings(0, 32, narrow_share=0.0).images
    before = vae.decode(encode(vae, images)).sample.detach()
    noise_before = vae.encode(to_unit_range(images)).latent_dist.std.detach()
    before_means = encode(vae, images)
    spread_before = (before_means - before_means.mean(dim=(0, 2, 3), keepdim=True)).std()
    rescale_latents(vae, encode(vae, images))
    latents = encode(vae, images)
    assert float((latents * SCALING_FACTOR).std()) == pytest.approx(1.0, rel=1e-3)
    assert float(latents.mean(dim=(0, 2, 3)).abs().max()) < 1e-3
    torch.testing.assert_close(vae.decode(latents).sample, before, atol=2e-4, rtol=1e-3)
    factor = vae.encode(to_unit_range(images)).latent_dist.std / noise_before
    assert float(factor.min()) == pytest.approx(float(factor.max()), rel=1e-4)
    assert float(factor.mean()) == pytest.approx(float(1 / (SCALING_FACTOR * spread_before)), rel=1e-3)


def test_the_noise_schedule_is_stable_diffusions() -> None:
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
    torch.testing.assert_close(alphas_cumprod(torch, torch.float64).float(), scheduler.alphas_cumprod, rtol=1e-5, atol=0)


@pytest.mark.parametrize("text", ["a round RED creature", "pokemon (creature), ultra-detailed", 'naïve ☃ 龍 12 "quotes"', ""])
def test_the_tokenizer_takes_any_text_and_gives_it_back(tmp_path: Path, text: str) -> None:
    tokenizer = train_tokenizer(["a round red creature with two eyes"] * 3, tmp_path)
    ids = tokenizer(text).input_ids
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
    assert tokenizer.unk_token_id not in ids[1:-1]
    spaceless = tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "")
    assert spaceless == text.lower().replace(" ", "")


def test_frequent_words_are_single_tokens(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["a round red creature"] * 5, tmp_path)
    assert len(tokenizer("a round red creature").input_ids) == 4 + 2


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_as_a_matrix_shares_its_memory(layout: torch.memory_format) -> None:
    weight = torch.randn(8, 4, 3, 3).to(memory_format=layout)
    matrix = as_matrix(weight)
    assert matrix.shape == (8, 36)
    assert matrix.data_ptr() == weight.data_ptr()


def test_the_optimizer_updates_every_parameter_once() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3))
    optimizer = MatrixOptimizer(model, 0.1, 0.0)
    assert len(optimizer.matrices) == 1
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.arange(5)).pow(3).sum().backward()
    optimizer.step(0.1)
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_training_finds_the_least_squares_solution() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 6, generator=generator)
    y = x @ torch.randn(6, 2, generator=generator) + 0.1 * torch.randn(256, 2, generator=generator)
    model = nn.Linear(6, 2, bias=False)
    settings = {"steps": 400, "batch": 1, "lr": 0.2, "seed": 0, "weight_decay": 0.0, "warmup": 5}
    _, history = fit("test", model, lambda *_: (model(x) - y).square().mean(), 1, **settings)
    exact = torch.linalg.lstsq(x, y).solution
    torch.testing.assert_close(model.weight.detach().T, exact, atol=2e-2, rtol=0)
    assert history[-1] == pytest.approx(float((x @ exact - y).square().mean()), rel=0.05)


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    factors = [cosine_with_warmup(step, 100, 10) for step in range(101)]
    assert factors[0] == 0.1 and max(factors) == 1.0 and factors[100] == pytest.approx(0.0, abs=1e-12)
    assert factors[55] == pytest.approx(0.5)
