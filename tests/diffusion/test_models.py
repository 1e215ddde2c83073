"""Loading M_0: what is missing or damaged is named, at once and without a model hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.diffusion import text
from pipeline.diffusion.models import load_base


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder models/none"):
        load_base("models/none")


@pytest.mark.parametrize("part", ["tokenizer", "text_encoder", "vae", "unet"])
def test_a_missing_part_is_named(tmp_path: Path, tiny_model: Path, part: str) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / part)
    with pytest.raises(UserError, match=part):
        load_base(tmp_path / "model")


@pytest.mark.parametrize("part", ["text_encoder", "vae", "unet"])
def test_truncated_weights_are_named(tmp_path: Path, tiny_model: Path, part: str) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    weights = next((tmp_path / "model" / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(UserError, match=part):
        load_base(tmp_path / "model")


@pytest.mark.parametrize("clip_skip", [0, 3])
def test_a_layer_that_the_text_encoder_does_not_have_is_refused(tiny_model: Path, clip_skip: int) -> None:
    model = load_base(tiny_model)
    ids = text.tokenize(model.tokenizer, ["a creature"])
    with pytest.raises(UserError, match="clip_skip must be 1 to 2"):
        text.encode(model.text_encoder, ids, clip_skip)
