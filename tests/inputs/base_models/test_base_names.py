"""What the name of a model may be, and what params.yaml says of one that is no folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.chain import params
from pipeline.chain.model_names import CATALOGUE, fault_of_setting
from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.inputs.base_models.source import HubSource, folder_name, local_folder, parse_source
from pipeline.inputs.datasets.catalogue import DATASETS
from pipeline.inputs.missing import PAPER_SETS, missing_inputs
from pipeline.versioning.experiment_checks import check_settings
from project import ROOT


def test_a_name_of_the_catalogue_is_a_pinned_commit() -> None:
    found = parse_source("sd15")
    assert isinstance(found, HubSource) and found.entry is CATALOGUE["sd15"]
    assert len(found.revision or "") == 40
    assert parse_source("sd15", "main").revision == "main"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        ("someone/a-model", "someone/a-model", None),
        ("someone/a-model@fp16", "someone/a-model", "fp16"),
        ("someone/a.model_2@refs/pr/3", "someone/a.model_2", "refs/pr/3"),
    ],
)
def test_a_hub_id_may_carry_its_revision(root: Path, text: str, repository: str, revision: str | None) -> None:
    assert parse_source(text) == HubSource(repository, revision)
    assert folder_name(parse_source(text), None) == repository.partition("/")[2]


def test_what_is_here_is_meant_before_the_hub(root: Path) -> None:
    (root / "someone/a-model").mkdir(parents=True)
    assert parse_source("someone/a-model") == Path("someone/a-model")
    with pytest.raises(UserError, match="--revision main belongs to the hub"):
        parse_source("someone/a-model", "main")


@pytest.mark.parametrize(
    "text", ["sd16", "a/b/c", "x.safetensors", "models/base/sd15", "models/x.ckpt", "-/-", "sd15-local", "?"]
)
def test_what_is_nothing_is_said_with_what_there_is(root: Path, text: str) -> None:
    with pytest.raises(UserError, match="is no file or folder here, no id on the hub"):
        parse_source(text)


@pytest.mark.parametrize("name", ["..", "a/b", ".hidden", ""])
def test_a_name_stays_below_models_base(name: str) -> None:
    with pytest.raises(UserError, match="--name"):
        folder_name(parse_source("sd15"), name)


def test_a_fetched_model_is_found_by_its_name_alone(root: Path) -> None:
    (root / "models/base/sd15").mkdir(parents=True)
    assert local_folder("sd15", root) == root / "models/base/sd15"
    assert local_folder("models/miniature", root) == root / "models/miniature"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("sd15", "run 'redifine base fetch sd15' and set models/base/sd15"),
        ("someone/a-model@main", "run 'redifine base fetch someone/a-model@main' and set models/base/a-model"),
        ("sd15-local", "run 'redifine base fetch FOLDER_OR_FILE --name sd15-local' and set models/base/sd15-local"),
    ],
)
@pytest.mark.parametrize("key", ["model", "vae"])
def test_a_name_in_params_yaml_is_answered_with_the_command(key: str, value: str, sentence: str) -> None:
    values = params.load(ROOT / "params.yaml").model_dump()
    with pytest.raises(UserError) as error:
        params.check(values | {key: value})
    assert f"{key}: {value}" in str(error.value) and sentence in str(error.value)


@pytest.mark.parametrize("value", ["models/miniature", "models/base/sd15", "/data/sd15", "../sd15", "me@home/x/y", None])
def test_a_path_in_params_yaml_is_left_alone(value: str | None) -> None:
    assert fault_of_setting(value) is None


def test_models_that_are_not_here_are_told_with_their_commands(root: Path) -> None:
    (root / "models/base/dinov2-large").mkdir(parents=True)
    values = {"model": "models/base/sd15", "vae": None, "feature_model": "models/base/dinov2-large", "clip_model": "own/clip"}
    first, second = missing_inputs(values, root)
    assert first.startswith("model: there is no folder models/base/sd15; ") and "'redifine base fetch sd15'" in first
    assert second.startswith("clip_model: ") and "'redifine base fetch own/clip'" in second


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("raw/pokemon", "folder: raw/pokemon is not a folder; run 'redifine dataset prepare pokemon DOWNLOADED'"),
        ("raw/mine", "folder: raw/mine is not a folder; put the images and their .txt captions there"),
    ],
)
def test_raw_images_that_are_not_here_are_told_with_what_to_do(root: Path, folder: str, sentence: str) -> None:
    (found,) = missing_inputs({"folder": folder}, root)
    assert found.startswith(sentence)
    (root / folder).mkdir(parents=True)
    assert missing_inputs({"folder": folder}, root) == []


def test_the_sets_that_are_told_by_name_are_those_that_the_command_knows() -> None:
    assert {*PAPER_SETS, "folder"} == DATASETS.keys()


@pytest.mark.parametrize("setting", ["model=models/base/sd15", "vae=someone/vae", "model=sd15"])
def test_an_experiment_with_a_model_that_is_not_here_is_refused(setting: str) -> None:
    with pytest.raises(UserError, match="redifine base fetch"):
        check_settings(["run", "-S", setting], ROOT / "params.yaml")


def test_a_preset_says_which_of_its_models_are_not_here(root: Path) -> None:
    shutil.copy(ROOT / "params.yaml", root)
    shutil.copytree(ROOT / "presets", root / "presets")
    lines = CliRunner().invoke(main, ["preset", "pokemon"]).stdout.splitlines()
    assert [line.partition(":")[0] for line in lines if "redifine base fetch" in line] == [
        "model", "vae", "feature_model", "clip_model"
    ]  # fmt: skip
    assert [line for line in lines if "redifine dataset prepare pokemon" in line][0].startswith("folder: raw/pokemon is not")
