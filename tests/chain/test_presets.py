"""Presets name one params.yaml each, whatever it held before; single values are set on top."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline.chain import params, presets
from pipeline.chain.model_names import CATALOGUE, FOLDER
from pipeline.cli.application import main
from project import ROOT

ALL = sorted(presets.available(ROOT / "presets"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    copy = tmp_path / "params.yaml"
    copy.write_text((ROOT / "params.yaml").read_text())
    return copy


def values(file: Path) -> dict:
    return YAML(typ="safe").load(file)


def apply(file: Path, *names: str) -> presets.Changes:
    return presets.write_presets(names, file, ROOT / "presets")


def test_the_baseline_is_params_yaml_as_delivered(file: Path) -> None:
    assert apply(file, "baseline") == {}
    assert presets.defaults() == params.load(ROOT / "params.yaml").model_dump()


@pytest.mark.parametrize("name", ALL)
def test_every_preset_is_undone_by_the_baseline(file: Path, name: str) -> None:
    apply(file, name)
    apply(file, "baseline")
    assert values(file) == values(ROOT / "params.yaml")


@pytest.mark.parametrize("name", ALL)
def test_a_preset_gives_the_same_values_after_any_other(file: Path, name: str) -> None:
    apply(file, name)
    alone = values(file)
    for other in ("pokemon", "twelve", "union", "threshold-decay"):
        apply(file, other)
        apply(file, name)
        assert values(file) == alone


def test_a_factor_goes_on_top_of_a_whole_run_and_leaves_the_rest_of_it(file: Path) -> None:
    apply(file, "pokemon", "redifine")
    both = values(file)
    assert (both["resolution"], both["rank"], both["features"]) == (512, 32, "dinov2")
    assert (both["schedule"], both["condition_drop"]) == ("exponential", 0.2)


def test_a_later_preset_wins(file: Path) -> None:
    apply(file, "mix50", "mix90")
    assert values(file)["real_fraction"] == 0.9


def test_a_factor_of_guidance_keeps_the_other_half_of_redifine(file: Path) -> None:
    apply(file, "redifine", "cfg2.5")
    assert (values(file)["cfg"], values(file)["schedule"], values(file)["condition_drop"]) == (2.5, "exponential", 0.2)


PLACES = [*(ROOT / "presets").glob("*.yaml"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]


def test_the_captioning_models_are_where_a_command_brings_them() -> None:
    """`base fetch blip` makes models/base/blip; what downloads the tagger names its folder itself."""
    texts = {path.name: path.read_text() for path in PLACES}
    blips = {name: set(re.findall(r"--blip (\w\S*/\S*)", text)) for name, text in texts.items()}
    taggers = {name: set(re.findall(r"--tagger (\w\S*/\S*)", text)) for name, text in texts.items()}
    assert set().union(*blips.values()) == {f"{FOLDER}/blip"} and "blip" in CATALOGUE
    for name, found in taggers.items():
        assert found == set(re.findall(r"--local-dir (\S+)", texts[name])) & found, name
    assert taggers["pokemon.yaml"] == taggers["kumapi.yaml"] == taggers["README.md"] != set()


def test_the_papers_run_in_the_readme_has_the_commands_of_its_preset() -> None:
    block = (ROOT / "README.md").read_text().partition("## The paper's run")[2].partition("## ")[0]
    commands = [line.removeprefix("# ") for line in (ROOT / "presets/pokemon.yaml").read_text().splitlines()[2:4]]
    assert all(command in block for command in commands)
    order = [block.index(word) for word in ("base fetch sd15", "preset pokemon", "dataset prepare pokemon", "make repro")]
    assert order == sorted(order)


def test_iterations_are_written_as_params_yaml_writes_them(file: Path) -> None:
    apply(file, "twelve")
    assert '  "12": {prev: 11}\n' in file.read_text()
    assert "# M_0, the base model" in file.read_text()
    apply(file, "baseline")
    assert file.read_text() == (ROOT / "params.yaml").read_text()


def test_the_command_prints_what_changed_and_leaves_single_values_to_set(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "presets").symlink_to(ROOT / "presets")
    monkeypatch.chdir(file.parent)

    def printed(*arguments: str) -> list[str]:
        return CliRunner().invoke(main, arguments).output.splitlines()

    assert printed("preset", "twelve", "cfg2.5") == ["iterations: 6 -> 12", "cfg: 7.5 -> 2.5"]
    assert printed("set", "seed=3", "cfg=1.0") == ["seed: 0 -> 3", "cfg: 2.5 -> 1.0"]
    assert values(file)["iterations"]["12"] == {"prev": 11}
    assert printed("preset", "cfg1") == ["seed: 3 -> 0", "iterations: 12 -> 6"]
