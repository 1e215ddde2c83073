"""params.yaml written by an enemy, and every field of it fuzzed: a sentence, or TOML that says exactly what was set."""

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

NINE = ",".join(["*{0}"] * 9)
GROWING = [f"{b}: &{b} [{NINE.format(a)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
ALIASES = "\n".join([f"a: &a [{'x,' * 9}]", *GROWING, ""]).encode()
"""A list of nine lists of nine lists ...: 387 million words in 300 bytes."""

FILES: dict[str, tuple[bytes, str]] = {
    "no YAML": (b"cfg: [", "params.yaml cannot be read as YAML"),
    "Latin-1": (b"title: caf\xe9\n", "params.yaml cannot be read as YAML"),
    "NUL": (b"title: a\0b\n", "params.yaml cannot be read as YAML"),
    "a list": (b"- cfg\n", "params.yaml must hold 'key: value' lines"),
    "nothing": (b"", "params.yaml must hold 'key: value' lines"),
    "a Python object": (b"title: !!python/object/apply:os.system ['touch owned']\n", "params.yaml cannot be read as YAML"),
    "the same key twice": (b"cfg: 1.0\ncfg: 2.0\n", "params.yaml cannot be read as YAML"),
    "a date that is none": (b"seed: 2024-99-99\n", "params.yaml cannot be read as YAML"),
    "a number of 10,000 digits": (b"seed: " + b"9" * 10_000 + b"\n", "params.yaml cannot be read as YAML"),
    "nested 20,000 deep": (b"title: " + b"[" * 20_000 + b"\n", "params.yaml cannot be read as YAML"),
    "aliases that grow": (ALIASES, "unknown key 'a'"),
    "an alias of itself": (b"title: &t [*t]\n", "title must be text"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), FILES.values(), ids=list(FILES))
def test_a_file_that_is_no_set_of_parameters_is_refused(place: Workplace, content: bytes, sentence: str) -> None:
    (place.root / "params.yaml").write_bytes(content)
    assert sentence in place.refused("prepare")
    assert not (place.root / "owned").exists()


VALUES: dict[str, tuple[str, str]] = {
    "not a number": ("cfg: .nan", "cfg must be a finite number"),
    "infinity": ("unet_lr: .inf", "unet_lr must be a finite number"),
    "below zero": ("seed: -1", "seed must be >= 0, got -1"),
    "true for a number": ("steps: true", "steps must be a whole number, got True"),
    "text for a number": ("cfg: '7.5; rm -rf ~'", "cfg must be a number, got '7.5; rm -rf ~'"),
    "a fraction of an image": ("batch_size: 1.5", "batch_size must be a whole number, got 1.5"),
    "an unknown key": ("cgf: 1.0", "unknown key 'cgf' (did you mean 'cfg'?)"),
    "a path with NUL": ('model: "models\\0base"', "holds the control character U+0000 at position 7; remove it"),
    "a path that clears the screen": ('folder: "\\e[2Jdata"', "holds the control character U+001B at position 1"),
    "half of a surrogate pair": ('title: "\\ud800"', "U+D800 at position 1, which no UTF-8 text can hold"),
    "a shell line for an iteration": ('iterations: {"1; touch owned": {prev: 0}}', "iterations must count"),
    "an iteration that skips": ('iterations: {"1": {prev: 0}, "3": {prev: 2}}', "iterations must count"),
    "iterations as numbers": ("iterations: {1: {prev: 0}}", "the keys of iterations must be in quotes"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), VALUES.values(), ids=list(VALUES))
def test_a_value_that_cannot_be_is_named(place: Workplace, line: str, sentence: str) -> None:
    key = line.partition(":")[0]
    lines = (place.root / "params.yaml").read_text().splitlines()
    kept = [other for other in lines if not other.startswith(f"{key}:")]
    (place.root / "params.yaml").write_text("\n".join([*kept, line, ""]))
    assert sentence in place.refused("prepare")
    assert not (place.root / "owned").exists()


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
