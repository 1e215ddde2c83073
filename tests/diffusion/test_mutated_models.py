"""A model with any one thing changed is drawn exactly as diffusers' own pipeline draws it, or refused, never otherwise."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, EulerAncestralDiscreteScheduler
from diffusion.mutations import copy_with_links, mutate

from pipeline.core.errors import UserError
from pipeline.core.randomness import generator
from pipeline.diffusion.families import family_of
from pipeline.diffusion.models import load_base, outline
from pipeline.methods.schedules.constant import Constant
from pipeline.sample.sampler import SampleSettings, draw_latents, encode_prompts

PROMPT, SEED, STEPS = "a tall green creature, two eyes", 5, 2


def drawn_here(model: Path) -> torch.Tensor | None:
    """The latents of one prompt; None for a model that is refused in a sentence."""
    try:
        loaded = load_base(model)
        side = outline(model).side
    except UserError as error:
        assert "\n" not in str(error)
        return None
    settings = SampleSettings(Constant(2.0), STEPS, side, side, 2, 75, family_of(model).layout.key)
    conditions = encode_prompts(loaded, [PROMPT, ""], settings)
    return draw_latents(loaded, conditions[:1], conditions[1:], [SEED], settings)[0]


def drawn_by_diffusers(model: Path) -> torch.Tensor:
    """The same by diffusers' pipeline, with our solver on the noise that the model's own scheduler says."""
    pipe: Any = DiffusionPipeline.from_pretrained(model, **({"safety_checker": None} if not is_xl(model) else {}))
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="linspace")
    how = {"num_inference_steps": STEPS, "guidance_scale": 2.0, "generator": [generator(SEED)], "output_type": "latent"}
    if is_xl(model):
        found = pipe(prompt=PROMPT, negative_prompt="", **how)
    else:
        empty, _ = pipe.encode_prompt([""], "cpu", 1, False, clip_skip=1)
        found = pipe(prompt=PROMPT, negative_prompt_embeds=empty, clip_skip=1, **how)
    images: torch.Tensor = found.images
    return images


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.shape == theirs.shape and bool(torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3, equal_nan=True))


def is_xl(model: Path) -> bool:
    return (model / "text_encoder_2").is_dir()


def drawn_otherwise(model: Path, seed: int, count: int, scratch: Path) -> tuple[list[str], int]:
    """What was changed in models that were drawn otherwise than by diffusers, or failed; and how many were drawn."""
    chance, wrong, drawn = random.Random(seed), [], 0
    for _ in range(count):
        folder = copy_with_links(model, Path(tempfile.mkdtemp(dir=scratch)) / "m")
        change = mutate(folder, chance)
        try:
            ours = drawn_here(folder)
            drawn += ours is not None
            if ours is not None and not close(ours, drawn_by_diffusers(folder)):
                wrong.append(change)
        except Exception as error:
            wrong.append(f"{change} ({type(error).__name__}: {error})")
        shutil.rmtree(folder.parent)
    return wrong, drawn


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
@pytest.mark.parametrize("kind", ["tiny_model", "tiny_xl"])
def test_no_changed_model_is_drawn_otherwise_than_by_diffusers(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, seed: int
) -> None:
    wrong, drawn = drawn_otherwise(request.getfixturevalue(kind), seed, 100 if seed else 20, tmp_path)
    assert wrong == [] and drawn
