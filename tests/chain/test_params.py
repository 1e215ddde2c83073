"""params.yaml is checked on reading: a mistake is one sentence that names key, value and file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chain import params, presets
from pipeline.chain.params import PATH_PARAMETERS, Params, View
from pipeline.core.errors import UserError
from project import ROOT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    copy = tmp_path / "params.yaml"
    copy.write_text((ROOT / "params.yaml").read_text())
    return copy


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("cfg: 7.5", "cgf: 7.5", "unknown key 'cgf' (did you mean 'cfg'?)"),
        ("cfg: 7.5", "cfg: high", "cfg must be a number, got 'high'"),
        ("cfg: 7.5", "cfg: -2", "cfg must be >= 0.0, got -2"),
        ("cfg: 7.5", "cfg: .inf", "cfg must be a finite number, got inf"),
        ("cfg: 7.5", "7: 7.5", "words as keys"),
        ("condition_drop: 0.0", "condition_drop: 1.5", "condition_drop must be <= 1.0, got 1.5"),
        ("rank: 16", "rank: 16.5", "rank must be a whole number, got 16.5"),
        ("schedule: constant", "schedule: cosin", "schedule must be one of"),
        ("flip: true", "flip: maybe", "flip must be true or false, got 'maybe'"),
        ("resolution: 64", "resolution: 100", "resolution must be a multiple of 8, got 100"),
        ('  "2": {prev: 1}\n', "", "iterations must count"),
        ("rank: 16\n", "", "lacks rank; restore"),
        ("denoiser: wavelet", "denoiser: dncnn", "denoiser is dncnn, so denoiser_weights must name"),
        ("interval_low: 0.28", "interval_low: 9.0", "interval_low must be below interval_high, got 9.0 and 5.42"),
    ],
)
def test_a_mistake_is_named(file: Path, old: str, new: str, sentence: str) -> None:
    edit(file, old, new)
    with pytest.raises(UserError) as error:
        params.load(file)
    assert sentence in str(error.value)
    assert str(file) in str(error.value)


def test_the_defaults_are_what_params_yaml_says() -> None:
    written = params.load(ROOT / "params.yaml").model_dump()
    assert Params(iterations=written["iterations"]).model_dump() == written


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="git checkout"):
        params.load(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "cfg: [1\n", "\x00"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError):
        params.load(path)


def test_a_stage_cannot_read_what_it_does_not_declare() -> None:
    view = View(params.load(ROOT / "params.yaml"), "prepare")
    assert view.seed == 0
    with pytest.raises(AttributeError, match="cfg"):
        _ = view.cfg


@settings(max_examples=60, deadline=None)
@given(
    key=st.sampled_from(sorted(set(Params.model_fields) - {"iterations"})),
    value=st.one_of(
        st.none(), st.integers(), st.floats(), st.text(max_size=8), st.booleans(), st.lists(st.integers(), max_size=2)
    ),
)
def test_any_value_of_any_key_is_taken_or_refused_in_a_sentence(key: str, value: object) -> None:
    values = params.load(ROOT / "params.yaml").model_dump() | {key: value}
    try:
        params.check(values)
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", sorted(presets.available(ROOT / "presets")))
def test_every_preset_is_valid_and_keeps_the_comments(file: Path, name: str) -> None:
    comments = [line.split("#", 1)[1] for line in file.read_text().splitlines() if "#" in line]
    presets.write_presets([name], file, ROOT / "presets")
    kept = file.read_text()
    assert all(comment in kept for comment in comments)
    params.load(file)


def test_a_preset_that_is_wrong_leaves_the_file_alone(file: Path, tmp_path: Path) -> None:
    before = file.read_text()
    (tmp_path / "bad.yaml").write_text("# bad\ncfg: -1\n")
    with pytest.raises(UserError):
        presets.write_presets(["bad"], file, tmp_path)
    assert file.read_text() == before


def test_an_unknown_preset_lists_those_there_are(file: Path) -> None:
    with pytest.raises(UserError, match="redifine"):
        presets.write_presets(["nonsense"], file, ROOT / "presets")


def test_path_parameters_are_those_that_name_files() -> None:
    plain = {name for name, field in Params.model_fields.items() if field.annotation in (str, str | None)}
    assert set(PATH_PARAMETERS) <= plain
    assert {name for name in plain if name.endswith(("model", "weights", "folder", "vae"))} == set(PATH_PARAMETERS)
