"""Stable Diffusion 1.5 and SDXL at their true size, without memory for it: the published sizes, and every key's name."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from inputs.base_models.originals import open_clip_keys, prefixed, unet_keys, vae_keys
from pipeline.chain import paths
from pipeline.diffusion.families.layouts import LAYOUTS
from project import ROOT

Tensors = dict[str, torch.Tensor]
CLASSES: dict[str, Any] = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel,
                           "text_encoder_2": CLIPTextModelWithProjection}  # fmt: skip

PARAMETERS = {
    ("sd1", "unet"): 859_520_964,
    ("sd1", "vae"): 83_653_863,
    ("sd1", "text_encoder"): 123_060_480,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "text_encoder_2"): 694_659_840,
}
"""Half the bytes of the tensors in the published fp16 files, but for the text encoder's position ids."""


def empty(kind: str, part: str) -> torch.nn.Module:
    """A part at its true size on the meta device, from our configs."""
    config = LAYOUTS[kind].published()[part]
    with init_empty_weights():
        if part.startswith("text"):
            return CLASSES[part](CLIPTextConfig(**config))
        return CLASSES[part].from_config(config)


def shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize(("kind", "part"), PARAMETERS, ids=lambda value: value)
def test_the_configs_give_the_published_number_of_parameters(kind: str, part: str) -> None:
    assert sum(parameter.numel() for parameter in empty(kind, part).parameters()) == PARAMETERS[kind, part]


KNOWN = {
    "time_embed.0.weight": (1280, 320),
    "input_blocks.0.0.weight": (320, 4, 3, 3),
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
    "input_blocks.3.0.op.weight": (320, 320, 3, 3),
    "input_blocks.4.0.skip_connection.weight": (640, 320, 1, 1),
    "input_blocks.11.0.in_layers.2.weight": (1280, 1280, 3, 3),
    "middle_block.1.proj_in.weight": (1280, 1280, 1, 1),
    "output_blocks.2.1.conv.weight": (1280, 1280, 3, 3),
    "output_blocks.5.2.conv.weight": (1280, 1280, 3, 3),
    "output_blocks.11.0.skip_connection.weight": (320, 640, 1, 1),
    "out.2.weight": (4, 320, 3, 3),
}
"""A few of the 686 names in v1-5-pruned, with their shapes."""


def test_the_original_names_are_those_of_the_published_checkpoint() -> None:
    found = shapes(unet_keys(empty("sd1", "unet").state_dict()))
    assert len(found) == 686
    assert {name: found.get(name) for name in KNOWN} == KNOWN


@pytest.mark.parametrize("kind", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_diffusers_maps_every_key_of_the_true_model_back(kind: str) -> None:
    config = LAYOUTS[kind].published()
    unet, vae = (empty(kind, part).state_dict() for part in ("unet", "vae"))
    found = single_file_utils.convert_ldm_unet_checkpoint(prefixed("model.diffusion_model.", unet_keys(unet)), config["unet"])
    assert shapes(found) == shapes(unet)
    found = single_file_utils.convert_ldm_vae_checkpoint(prefixed("first_stage_model.", vae_keys(vae)), config["vae"])
    assert shapes(found) == shapes(vae)


@pytest.fixture
def sd_scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found = paths.sd_scripts(ROOT)
    if found is None:
        pytest.skip("sd-scripts is not here: run 'make vendor'")
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(found).resolve())])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "library":
            del sys.modules[name]


def test_sd_scripts_maps_every_key_of_stable_diffusion_alike(sd_scripts: None) -> None:
    from library import model_util

    unet, vae = (empty("sd1", part).state_dict() for part in ("unet", "vae"))
    assert shapes(model_util.convert_unet_state_dict_to_sd(False, unet)) == shapes(unet_keys(unet))
    assert shapes(model_util.convert_vae_state_dict(vae)) == shapes(vae_keys(vae))
    original = prefixed("model.diffusion_model.", unet_keys(unet))
    found = model_util.convert_ldm_unet_checkpoint(False, original, model_util.create_unet_diffusers_config(False))
    assert shapes(found) == shapes(unet)
    original = prefixed("first_stage_model.", vae_keys(vae))
    found = model_util.convert_ldm_vae_checkpoint(original, model_util.create_vae_diffusers_config())
    assert shapes(found) == shapes(vae)


@pytest.mark.slow
def test_sd_scripts_maps_every_key_of_sdxl_alike(sd_scripts: None) -> None:
    from library import sdxl_model_util

    unet, text = (empty("sdxl", part).state_dict() for part in ("unet", "text_encoder_2"))
    assert shapes(sdxl_model_util.convert_diffusers_unet_state_dict_to_sdxl(unet)) == shapes(unet_keys(unet))
    original = prefixed("conditioner.embedders.1.model.", open_clip_keys(text))
    found, _ = sdxl_model_util.convert_sdxl_text_encoder_2_checkpoint(original, max_length=77)
    found = {name: tensor for name, tensor in found.items() if not name.endswith("position_ids")}
    assert shapes(found) == shapes(text)
