"""Batches begun and waited for later, as on a GPU: the same images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scale_chain import PROMPTS, bytes_of, sampling_chain, view

from pipeline.core.errors import UserError
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.models import load_base
from pipeline.methods.schedules.constant import Constant
from pipeline.sample import batches, stage
from pipeline.sample.batches import concatenate, queue_batch
from pipeline.sample.sampler import SampleSettings, draw, encode_prompts

SETTINGS = SampleSettings(Constant(7.5), 3, 64, 64)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> StableDiffusion:
    return load_base(tiny_model)


def drawn_later(model: StableDiffusion, seeds: list[int], rows: int):
    prompts = PROMPTS[: len(seeds)]
    conditions, empty = encode_prompts(model, prompts, SETTINGS), encode_prompts(model, [""], SETTINGS)
    with torch.inference_mode():
        now = draw(model, conditions, empty, seeds, SETTINGS)
        return now, queue_batch(model, conditions, empty, seeds, SETTINGS, rows, "D_1").wait()


def test_images_begun_are_the_images_drawn_at_once(model: StableDiffusion) -> None:
    now, later = drawn_later(model, [3, 4, 5], rows=3)
    assert np.array_equal(now.pixels, later.pixels)
    assert torch.equal(now.latents, later.latents) and torch.equal(now.diff_norm, later.diff_norm)


def test_a_compiled_unet_always_gets_a_full_batch_and_the_filling_is_cut_off(
    model: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = batches.draw_latents
    monkeypatch.setattr(batches, "is_compiled", lambda unet: True)
    monkeypatch.setattr(batches, "draw_latents", lambda *given: sizes.append(len(given[3])) or original(*given))
    now, later = drawn_later(model, [3, 4], rows=5)
    assert sizes == [5] and len(later.pixels) == 2
    torch.testing.assert_close(now.latents, later.latents, atol=1e-4, rtol=1e-4)


def test_pieces_of_a_batch_are_joined_in_order(model: StableDiffusion) -> None:
    conditions, empty = encode_prompts(model, PROMPTS, SETTINGS), encode_prompts(model, [""], SETTINGS)
    whole = draw(model, conditions, empty, range(5), SETTINGS)
    parts = [draw(model, conditions[part], empty, range(5)[part], SETTINGS) for part in (slice(0, 2), slice(2, 5))]
    again = concatenate(parts)
    torch.testing.assert_close(again.latents, whole.latents, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(again.diff_norm, whole.diff_norm, atol=1e-3, rtol=1e-4)
    assert np.abs(again.pixels.astype(int) - whole.pixels).max() <= 1


def test_a_stage_that_runs_out_of_memory_goes_on_and_draws_the_same(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, starved = (sampling_chain(tiny_model, tmp_path / name) for name in ("plain", "starved"))
    params = view(tiny_model, sample_batch=5)
    stage.run(params, 2, plain, "cpu")

    def limited(model, conditions, *rest):
        if len(conditions) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return queue_batch(model, conditions, *rest)

    monkeypatch.setattr(batches, "queue_batch", limited)
    stage.run(params, 2, starved, "cpu")
    assert capsys.readouterr().err.count("out of memory with 5 images at a time, going on with 2") == 1
    names = [set(bytes_of(layout)) for layout in (plain, starved)]
    assert names[0] == names[1]


def test_a_stage_without_memory_for_one_image_keeps_what_is_finished(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = sampling_chain(tiny_model, tmp_path)
    calls = iter(range(100))

    def full(*given):
        if next(calls) >= 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return queue_batch(*given)

    monkeypatch.setattr(batches, "queue_batch", full)
    with pytest.raises(UserError, match="out of memory with a single image.*finished images are kept"):
        stage.run(view(tiny_model), 2, layout, "cpu")
    assert len(list(layout.scratch.rglob("*.png"))) == 2


def test_a_run_that_goes_on_compiles_where_an_undisturbed_one_does(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, asked, calls = sampling_chain(tiny_model, tmp_path), [], iter(range(100))

    def once(*given):
        if next(calls) == 1:
            raise UserError("broken off")
        return queue_batch(*given)

    monkeypatch.setattr(batches, "compile_if_worth_it", lambda model, settings, condition, rows, images: asked.append(images))
    monkeypatch.setattr(batches, "queue_batch", once)
    with pytest.raises(UserError, match="broken off"):
        stage.run(view(tiny_model), 2, layout, "cpu")
    stage.run(view(tiny_model), 2, layout, "cpu")
    assert asked == [len(PROMPTS)] * 2
