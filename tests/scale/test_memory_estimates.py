"""What the sampler thinks it needs, held to a count of every tensor; and the sizes that the paper's run must fit."""

from __future__ import annotations

import pytest
import torch

from benchmarks.paper_scale import memory as counted
from benchmarks.paper_scale.counting import LiveBytes, fused_attention
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.methods.schedules.constant import Constant
from pipeline.sample import memory
from pipeline.sample.sampler import DECODE_PIXELS, SampleSettings

SETTINGS = SampleSettings(Constant(7.5), 30, 512, 512)
GB = 10**9


@pytest.fixture(scope="module")
def sd15() -> StableDiffusion:
    """Stable Diffusion 1.5 in half precision, without data."""
    return counted.meta_model(torch.float16)


def test_counting_sees_what_lives_at_once_and_forgets_what_is_gone() -> None:
    with LiveBytes() as live:
        one = torch.empty(1000, device="meta")
        view = one[:10]
        two = torch.empty(500, device="meta")
        del one, view, two
        three = torch.empty(100, device="meta")
    assert (live.peak, live.now) == (6000, 400)
    del three


def test_the_estimate_of_the_unet_is_above_the_count_and_not_far(sd15: StableDiffusion) -> None:
    with torch.inference_mode(), fused_attention(), LiveBytes() as live:
        live.know((*sd15.unet.parameters(), *sd15.unet.buffers()))
        states = torch.empty(2, 77, 768, dtype=torch.float16, device="meta")
        sd15.predict(torch.empty(2, 4, 64, 64, dtype=torch.float16, device="meta"), torch.tensor(1.0, device="meta"), states)
    assert 1.0 <= memory.bytes_per_image(sd15, SETTINGS) / live.peak <= 1.5


def test_the_estimate_of_decoding_is_above_the_count_and_not_far(sd15: StableDiffusion) -> None:
    rows = DECODE_PIXELS // 512**2
    with torch.inference_mode(), fused_attention(), LiveBytes() as live:
        live.know((*sd15.vae.parameters(), *sd15.vae.buffers()))
        sd15.vae.decode(torch.empty(rows, 4, 64, 64, dtype=torch.float16, device="meta"), return_dict=False)
    assert 1.0 <= memory.bytes_of_decoding(sd15, SETTINGS) / live.peak <= 1.5


@pytest.mark.parametrize(("free", "images"), [(None, 50), (80 * GB, 50), (8 * GB, 25), (3 * GB, 4), (0, 1)])
def test_batches_are_halved_until_they_fit(
    sd15: StableDiffusion, monkeypatch: pytest.MonkeyPatch, free: int | None, images: int
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    assert memory.images_at_a_time(sd15, SETTINGS, 50) == images


def test_this_machines_free_memory_is_between_nothing_and_all_of_it() -> None:
    free = memory.free_memory(torch.device("cpu"))
    assert free is None or 0 < free < 2**50


def test_the_papers_training_fits_12_gb_and_its_sampling_8_gb() -> None:
    sizes = counted.estimates()
    assert sizes["sampling, fp16, batch 16"] < 8
    assert sizes["training (builtin), fp16, batch 6"] < 12
    for precision in ("fp16", "fp32"):
        plain = f"training (builtin), {precision}, batch 6"
        assert sizes[f"{plain}, gradient_checkpointing"] < 0.7 * sizes[plain]
