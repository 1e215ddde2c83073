"""What the libraries themselves write for the known kinds is taken; what a missing key means is what they say it means."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from transformers import CLIPTextConfig

from pipeline.diffusion.families.allow_list import SCHEDULER_RULES, text_rules, unet_rules, vae_rules
from pipeline.diffusion.judgement.recognise import recognise
from pipeline.diffusion.models import outline

NEEDS_MORE = {"DPMSolverSDEScheduler"}
"""Those whose module wants a package that is not installed."""

OF_AN_AVERAGE = {"decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step", "use_ema_warmup"}


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    found: Path = shutil.copytree(tiny_model, tmp_path / "m")
    return found


@pytest.mark.parametrize("name", sorted(SCHEDULER_RULES.classes - NEEDS_MORE))
def test_a_known_solver_on_the_models_noise_is_taken_as_diffusers_saves_it(model: Path, name: str) -> None:
    config = json.loads((model / "scheduler/scheduler_config.json").read_text())
    solver: Any = getattr(diffusers, name)
    extra = {"lower_order_final": True} if name == "DPMSolverSinglestepScheduler" else {}
    solver.from_config(config, timestep_spacing="leading", **extra).save_pretrained(model / "scheduler")
    assert recognise(model).kind == "sd1"
    solver.from_config(config, prediction_type="v_prediction", **extra).save_pretrained(model / "scheduler")
    assert recognise(model).what == "a model whose prediction type is v_prediction, not epsilon"


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("scheduler/scheduler_config.json", {"predict_epsilon": False}, "a model that predicts the image itself"),
        ("scheduler/scheduler_config.json", {"_use_default_values": ["beta_schedule"]}, "says that its values are not meant"),
        ("unet/config.json", {"_use_default_values": ["sample_size"]}, "says that its values are not meant"),
        ("model_index.json", {"unet": ["mine", "UNet2DConditionModel"]}, "has unet: UNet2DConditionModel, which is not known"),
    ],
)
def test_what_changes_the_meaning_of_the_rest_is_refused(model: Path, file: str, change: dict[str, Any], sentence: str) -> None:
    (model / file).write_text(json.dumps(json.loads((model / file).read_text()) | change))
    assert recognise(model).kind == "other" and sentence in recognise(model).what


@pytest.mark.parametrize(("version", "size"), [("0.2.2", 64), ("0.8.1", 64), ("0.9.0", 8), ("0.39.0", 8)])
def test_the_size_of_an_old_unet_is_the_one_that_diffusers_draws(model: Path, version: str, size: int) -> None:
    config = json.loads((model / "unet/config.json").read_text())
    (model / "unet/config.json").write_text(json.dumps(config | {"_diffusers_version": version}))
    pipe: Any = diffusers.DiffusionPipeline.from_pretrained(model, safety_checker=None)
    assert pipe.unet.config.sample_size == size and outline(model).side == size * pipe.vae_scale_factor


def test_a_unet_that_is_an_average_is_taken(model: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(model / "unet")
    average = EMAModel(unet.parameters(), model_cls=UNet2DConditionModel, model_config=unet.config)
    average.save_pretrained(str(model / "unet"))
    assert "inv_gamma" in json.loads((model / "unet/config.json").read_text())
    assert recognise(model).kind == "sd1"


def test_what_each_part_writes_without_any_choice_is_known_but_for_its_sizes() -> None:
    for rules, kind in ((unet_rules([]), UNet2DConditionModel), (vae_rules([]), AutoencoderKL)):
        parameters = {name: value.default for name, value in inspect.signature(kind.__init__).parameters.items()}
        del parameters["self"]
        assert parameters.keys() == {*rules.defaults, *rules.sizes, *rules.ignored} - OF_AN_AVERAGE
        for key, value in rules.defaults.items():
            assert parameters[key] == (tuple(value) if isinstance(value, list) else value), key
    text = CLIPTextConfig().to_dict()
    rules = text_rules("text_encoder")
    known = {*rules.defaults, *rules.sizes, *rules.ignored, "eos_token_id"}
    assert [key for key in text if key not in known and not key.startswith("_")] == []
    own = {key: value for key, value in rules.defaults.items() if key in text}
    assert {key: text[key] for key in own} == own and len(own) > 15


@pytest.mark.parametrize("name", sorted(SCHEDULER_RULES.classes - NEEDS_MORE))
def test_solvers_have_the_defaults_that_the_rules_say(name: str) -> None:
    parameters = inspect.signature(getattr(diffusers, name).__init__).parameters
    for key, meant in SCHEDULER_RULES.defaults.items():
        allowed = SCHEDULER_RULES.values.get(key, (meant,))
        if key in parameters and parameters[key].default != meant:
            # Where a solver means another value than the rules do, both are allowed, or neither is.
            assert (parameters[key].default in allowed) == (meant in allowed) or key in ("beta_start", "beta_end"), key
