"""Every field of params.yaml fuzzed: a sentence, or TOML that says exactly what was set; written by an enemy: the corpus."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import toml
from hostile.workplace import SETTINGS, Workplace
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.chain.params import Params, View, check
from pipeline.core.errors import UserError
from pipeline.train import config
from pipeline.train.training_inputs import Example, TrainingInputs


def test_a_folder_in_the_place_of_params_is_named(place: Workplace) -> None:
    (place.root / "params.yaml").unlink()
    (place.root / "params.yaml").mkdir()
    assert "params.yaml cannot be read as YAML: [Errno 21] Is a directory" in place.refused("prepare")


METACHARACTERS = st.text(st.sampled_from("\"'\\#[]{}=\n\t,. \x7fx41uU0aé☃🐉-$`;|&<>%"), max_size=12)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | METACHARACTERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def values_of(field: str) -> st.SearchStrategy[Any]:
    """Values of the field's type, text of metacharacters where it is text, and anything."""
    annotation = Params.model_fields[field].annotation
    if field == "iterations":
        return ANYTHING
    if annotation in (str, str | None):
        return METACHARACTERS | ANYTHING
    return st.from_type(annotation) | ANYTHING  # type: ignore[arg-type]


@pytest.mark.parametrize("field", list(Params.model_fields))
@settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_of_a_field_is_refused_in_a_sentence_or_reaches_the_trainer_as_it_is(field: str, data: st.DataObject) -> None:
    value = data.draw(values_of(field))
    try:
        params = check(SETTINGS | {field: value})
    except UserError as error:
        assert str(error).startswith("params.yaml: ") and len(str(error)) < 2_000
        return
    assert_same_toml(params)


def assert_same_toml(params: Params) -> None:
    """Both generated files mean the same to the standard's parser and to sd-scripts', and hold what was set."""
    view, job, root = View(params, "train"), job_of(params), Path("/project")
    for text in (
        config.train_toml(view, job, root / "models/M_1", root),
        config.dataset_toml(view, job, root / "models/M_1", root),
    ):
        assert tomllib.loads(text) == toml.loads(text)
    found = tomllib.loads(config.train_toml(view, job, root / "models/M_1", root))
    assert set(found) == {"model", "network", "objective", "optimizer", "running", "files"}
    assert found["model"]["pretrained_model_name_or_path"] == params.model
    assert found["model"].get("vae") == (params.vae or None)
    assert found["optimizer"]["unet_lr"] == params.unet_lr
    assert found["network"]["network_alpha"] == params.alpha


def job_of(params: Params) -> TrainingInputs:
    """What would train M_1 with these parameters on one image."""
    example = Example("data/D_0/00000.png", 'a "caption" \\ with # [marks]')
    return TrainingInputs(1, (example,), params.updates or params.epochs, params.model, params.vae, "0" * 64, None, None, "sd1")
