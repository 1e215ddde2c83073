"""The lineage text: what readers of the A1111 form see, and that any prompt comes back."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from pipeline.core.images import encode_png
from pipeline.diffusion.lora import LoraFile
from pipeline.methods.schedules.exponential import Exponential
from pipeline.sample.png import KEY, ImageLineage, format_parameters, parse_parameters
from pipeline.sample.sampler import SampleSettings

LINEAGE = ImageLineage(
    "miniature", "b" * 64, LoraFile("M_3", "c" * 64, "d" * 64), 7.5, SampleSettings(Exponential(7.5, 2.0), 30, 64, 96), k=3
)
NASTY = [
    "",
    "pokemon (creature), {very} [red]: 1.5",
    'quotes " and \\ back\\slashes',
    "two\nlines\r\nof text",
    "fake\nNegative prompt: none\nSteps: 3, Seed: 4, Size: 1x1",
    "\u2028separators\u2029\x85\x0b\x1c",
    "caf\u00e9 \u30dd\u30b1\u30e2\u30f3 \U0001f98a",
    "  spaces around  ",
    "half a surrogate \ud800",
]


def test_the_text_is_two_lines_in_the_form_that_tools_read():
    text = format_parameters("a red creature", LINEAGE.fields(12, 0, 99))
    assert text == (
        "a red creature\n"
        "Steps: 30, Sampler: Euler a, CFG scale: 7.5, Seed: 99, Size: 96x64, Model hash: bbbbbbbbbb, Model: miniature, "
        'Clip skip: 2, Lora hashes: "M_3: dddddddddddd", Lora sha256: ' + "c" * 64 + ", Iteration: 3, Prompt index: 12, "
        'Image index: 0, Schedule: "exponential(7.5, decay 2)", Model sha256: ' + "b" * 64
    )


@pytest.mark.parametrize("prompt", NASTY)
def test_nasty_prompts_come_back_and_stay_on_one_line(prompt):
    fields = LINEAGE.fields(1, 2, 3)
    text = format_parameters(prompt, fields)
    assert len(text.splitlines()) == 2
    assert parse_parameters(text) == {"Prompt": prompt, **fields}


def test_any_mixture_of_awkward_characters_comes_back():
    rng = random.Random(0)
    alphabet = 'ab ,:"\\\n\r\t\u2028\x85\x00\ud800\xe9\U0001f98a-/'
    for _ in range(2000):
        prompt, model = ("".join(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(2))
        fields = {"Model": model, "Steps": "30"}
        text = format_parameters(prompt, fields)
        assert text.encode(), "must be storable"
        assert parse_parameters(text) == {"Prompt": prompt, **fields}


@pytest.mark.parametrize("prompt", NASTY)
def test_a_png_carries_the_text_and_the_pixels(prompt):
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    content = encode_png(pixels, {KEY: format_parameters(prompt, LINEAGE.fields(0, 0, 0))})
    with Image.open(io.BytesIO(content)) as image:
        assert parse_parameters(image.info["parameters"])["Prompt"] == prompt
        assert np.array_equal(np.asarray(image), pixels)


def test_without_a_lora_nothing_claims_one():
    fields = ImageLineage("base", "b" * 64, None, 7.5, SampleSettings(Exponential(7.5, 2.0))).fields(0, 0, 0)
    assert not any("Lora" in name or name == "Iteration" for name in fields)
