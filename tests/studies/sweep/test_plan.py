"""A sweep file becomes chains: which, in which order, with which parameters; and what is said of a wrong one."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from pipeline.chain import params, presets
from pipeline.core.errors import UserError
from pipeline.studies.sweep.plan import chains
from pipeline.versioning.experiment_checks import check_settings
from project import ROOT

TWO_ARMS = "title: t\nseeds: [0, 1]\narms:\n  low: {cfg: 1}\n  high: {cfg: 7.5}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with this project's params.yaml, as the current one."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "s.yaml") -> Path:
    Path(name).write_text(text)
    return Path(name)


def test_every_arm_gets_its_first_seed_before_any_gets_its_second(project: Path) -> None:
    names = [chain.name for chain in chains(write(TWO_ARMS))]
    assert names == ["s-low-0", "s-high-0", "s-low-1", "s-high-1"]


def test_an_arm_overrides_the_base_and_the_base_overrides_params_yaml(project: Path) -> None:
    file = write("title: t\nbase: {steps: 7, rank: 2}\narms:\n  a: {}\n  b: {rank: 3}\n")
    first, second = chains(file)
    assert (first.params.steps, first.params.rank, first.params.cfg) == (7, 2, params.load().cfg)
    assert (second.params.steps, second.params.rank) == (7, 3)


def test_a_grid_is_the_product_of_its_values_and_of_the_arms(project: Path) -> None:
    file = write("title: t\narms:\n  a: {}\n  b: {rank: 2}\ngrid: {cfg: [1, 2.5], steps: [3, 4]}\n")
    found = {(c.arm, c.params.rank, c.params.cfg, c.params.steps) for c in chains(file)}
    usual = params.load().rank
    assert found == {
        (f"{arm}-cfg{name}-steps{steps}", rank, cfg, steps)
        for arm, rank in (("a", usual), ("b", 2))
        for cfg, name in ((1.0, "1"), (2.5, "2.5"))
        for steps in (3, 4)
    }


def test_a_chain_may_start_from_presets_where_others_start_from_params_yaml(project: Path) -> None:
    """As when `redifine preset NAME...` writes params.yaml, and the sweep's own values come on top."""
    shutil.copytree(ROOT / "presets", project / "presets")
    presets.assign({"steps": 99})  # which only a chain without preset sees
    file = write("title: t\nbase: {rank: 3}\narms: {a: {}, b: {preset: kumapi}}\n")
    usual, kumapi = chains(file)
    grid = write("title: t\nbase: {rank: 3}\ngrid: {preset: [pokemon, [celeba, sdxl]]}\n", "g.yaml")
    pokemon, celeba = chains(grid)
    assert [chain.name for chain in (usual, kumapi, pokemon, celeba)] == ["s-a-0", "s-b-0", "g-pokemon-0", "g-celeba+sdxl-0"]
    assert usual.params.steps == 99
    for chain, names in ((kumapi, ["kumapi"]), (pokemon, ["pokemon"]), (celeba, ["celeba", "sdxl"])):
        other = Path(shutil.copy(ROOT / "params.yaml", "other.yaml"))
        presets.write_presets(names, other)
        presets.assign({"rank": 3, "seed": 0}, other)
        assert params.load(other) == chain.params
        presets.assign(chain.values)  # as the chain's worktree does with the params.yaml of the commit
        assert params.load() == chain.params
    assert celeba.settings() == ["preset=celeba+sdxl", "rank=3", "seed=0"]
    assert celeba.command() == "redifine sweep run g.yaml --only celeba+sdxl --seeds 0"


@pytest.mark.parametrize("where", ["iterations: 2\narms: {a: {}}", "arms: {a: {iterations: 2}}"])
def test_a_number_of_iterations_becomes_the_mapping(project: Path, where: str) -> None:
    (chain,) = chains(write(f"title: t\n{where}\n"))
    assert chain.values["iterations"] == {"1": {"prev": 0}, "2": {"prev": 1}}


def test_arms_and_seeds_can_be_chosen(project: Path) -> None:
    assert [c.name for c in chains(write(TWO_ARMS), only=["high"], seeds=[1])] == ["s-high-1"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("arms: {a: {cgf: 1.0}}", "s.yaml, arm a: unknown key 'cgf' (did you mean 'cfg'?)"),
        ("arms: {a: {cfg: high}}", "s.yaml, arm a: cfg must be a number, got 'high'"),
        ("base: {steps: 0}\narms: {a: {}}", "s.yaml, arm a: steps must be >= 1, got 0"),
        ("arm: {a: {}}", "s.yaml: unknown key 'arm'"),
        ("seeds: [zero]\narms: {a: {}}", "s.yaml: seeds.0"),
        ("seeds: [1, 1]\narms: {a: {}}", "s.yaml: seeds must be different"),
        ("arms: {a: {seed: 3}}", "s.yaml: arms.a sets seed"),
        ("arms: {a b: {}}", "'a b' cannot be part of an experiment's name"),
        ("arms: {1.0: {}}", "s.yaml: arms.1.0"),
        ("base: {cfg: 1.0}", "s.yaml needs arms"),
        ("arms: {a: {}}\nshow: [fidd]", "s.yaml: show.0"),
        ("arms: {a: {}}\nresources: {gpu: 1}", "s.yaml: unknown key 'resources.gpu'; the keys are partition, gpus"),
        ("arms: {a: {}}\nresources: {hours: -1}", "s.yaml: resources.hours"),
        ("arms: {a: {preset: pokeman}}", "there is no preset 'pokeman' in presets"),
        ("arms: {a: {preset: 1}}", "s.yaml, arm a: preset must be a preset's name, or a list of names, got 1"),
        ("grid: {cfg: [2.5, 2.5000001]}", "two arms would be called cfg2.5"),
        ("arms: [", "s.yaml cannot be read as YAML"),
    ],
)
def test_a_wrong_file_is_told_with_its_name_and_the_key(project: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        chains(write(f"title: t\n{text}\n"))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told_with_those_that_are(project: Path) -> None:
    Path("sweeps").mkdir()
    write(TWO_ARMS, "sweeps/s.yaml")
    with pytest.raises(UserError, match="there is no sweep file sweeps/t.yaml; the sweeps are sweeps/s.yaml"):
        chains(Path("sweeps/t.yaml"))


def test_unknown_arms_and_seeds_are_told(project: Path) -> None:
    with pytest.raises(UserError, match="no arm middle; it has low, high"):
        chains(write(TWO_ARMS), only=["middle"])
    with pytest.raises(UserError, match="no seed 7; it has 0, 1"):
        chains(write(TWO_ARMS), seeds=[7])


def test_the_printed_command_sets_what_the_chain_sets(project: Path) -> None:
    """`redifine exp` takes the printed settings, and DVC's own code applies them to params.yaml."""
    from dvc.utils.hydra import apply_overrides

    file = write("title: t\nseeds: [3]\narms: {a: {cfg: 2.5, vae: null, creature_styles: [flat, pastel], schedule: linear}}\n")
    (chain,) = chains(file)
    Path("models").symlink_to(ROOT / "models")  # `redifine exp` looks whether the model is there
    words = shlex.split(chain.command())
    assert words[:5] == ["redifine", "exp", "run", "-n", "s-a-3"]
    check_settings(words[2:])
    apply_overrides(Path("params.yaml"), [word for word in words[5:] if word != "-S"])
    assert params.load() == chain.params


@pytest.mark.parametrize("iterations", [2, 8])
def test_a_chain_of_another_length_is_left_to_the_sweep(project: Path, iterations: int) -> None:
    """`redifine exp` sets values, and not the mapping `iterations`; the printed command names the same chain."""
    (chain,) = chains(write(f"title: t\niterations: {iterations}\nseeds: [3]\narms: {{a: {{cfg: 2.5}}}}\n"))
    words = shlex.split(chain.command())
    assert words[:3] == ["redifine", "sweep", "run"]
    assert words[4::2] == ["--only", "--seeds"]
    assert chains(Path(words[3]), only=[words[5]], seeds=[int(words[7])]) == [chain]


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_sweep_of_the_project_is_valid_and_says_what_it_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = chains(file)
    assert len({chain.name for chain in found}) == len(found)
    assert len({chain.params.model_dump_json() for chain in found}) == len(found)
