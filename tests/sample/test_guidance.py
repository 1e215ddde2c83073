"""Classifier-free guidance on hand-made branches, and the U-Net with a fixed condition against the plain U-Net."""

from __future__ import annotations

import pytest
import torch

from pipeline.diffusion.cpu_layout import optimized_for_cpu, rows_per_piece
from pipeline.diffusion.cross_attention_cache import cached_cross_attention
from pipeline.diffusion.models import load_base
from pipeline.diffusion.noise_schedule import NOISE
from pipeline.sample.sampler import GuidedPrediction


def _branches(x, step):
    """Unconditional 1, conditional 3, whatever the image."""
    ones = torch.ones_like(x[: len(x) // 2])
    return torch.cat([ones, 3 * ones])


def test_the_conditional_branch_is_extrapolated_from_the_unconditional():
    guided = GuidedPrediction(_branches, NOISE.network_input, [2.0, 1.0], [7.5, 2.0])
    x = torch.zeros(5, 4, 2, 2)
    assert torch.equal(guided(x, 0), torch.full_like(x, 1 + 7.5 * 2))
    assert torch.equal(guided(x, 1), torch.full_like(x, 1 + 2 * 2))


def test_scales_zero_and_one_are_exactly_the_branches():
    halves = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    guided = GuidedPrediction(lambda x, step: halves, NOISE.network_input, [1.0, 1.0], [0.0, 1.0])
    assert torch.equal(guided(halves[:3], 0), halves[:3])
    assert torch.equal(guided(halves[:3], 1), halves[3:])


def test_diff_norms_are_recorded_by_image_and_step():
    guided = GuidedPrediction(lambda x, step: _branches(x, step) * (step + 1), NOISE.network_input, [2.0, 1.0, 0.5], [1.0] * 3)
    for step in range(3):
        guided(torch.zeros(5, 4, 2, 2), step)
    assert torch.equal(guided.diff_norm, torch.tensor([8.0, 16.0, 24.0]).expand(5, 3))


def test_both_branches_see_the_image_at_variance_one():
    seen = []
    guided = GuidedPrediction(lambda x, step: seen.append(x) or x, NOISE.network_input, [3.0], [1.0])
    x = torch.randn(500, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 10**0.5
    guided(x, 0)
    assert torch.equal(seen[0][:500], seen[0][500:])
    assert abs(float(seen[0].var()) - 1) < 0.02


def test_a_fixed_condition_predicts_what_the_plain_unet_does(tiny_model):
    unet = load_base(tiny_model).unet
    draws = torch.Generator().manual_seed(0)
    x, states = torch.randn(6, 4, 8, 8, generator=draws), torch.randn(6, 77, 32, generator=draws)
    before = dict(unet.attn_processors)
    with torch.inference_mode():
        for time in (999.0, 34.5, 0.0):
            expected = unet(x, torch.tensor(time), encoder_hidden_states=states).sample
            with cached_cross_attention(unet, states):
                actual = unet(x, torch.tensor(time), encoder_hidden_states=states).sample
            torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    assert unet.attn_processors == before, "the U-Net must be as it was"


def test_arranged_for_a_cpu_the_unet_predicts_what_the_plain_unet_does(tiny_model):
    unet = load_base(tiny_model).unet
    draws = torch.Generator().manual_seed(0)
    x, states = torch.randn(60, 4, 8, 8, generator=draws), torch.randn(60, 77, 32, generator=draws)
    with torch.inference_mode():
        expected = unet(x, torch.tensor(500.0), encoder_hidden_states=states).sample
        with optimized_for_cpu(unet, 60, 64):
            actual = unet(x, torch.tensor(500.0), encoder_hidden_states=states).sample
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(unet(x, torch.tensor(500.0), encoder_hidden_states=states).sample, expected)


@pytest.mark.parametrize(
    ("rows", "row_bytes", "piece"),
    [(100, 128 * 1024, 10), (100, 2**30, 100), (94, 128 * 1024, 94), (8, 1024, 8), (90, 512 * 1024, 3)],
    ids=["fits", "one row is too large", "a prime of pairs", "all fit", "three fit"],
)
def test_pieces_divide_the_batch_and_fit_the_cache(rows, row_bytes, piece):
    assert rows_per_piece(rows, row_bytes) == piece
