"""What a user gets wrong on the command line ends in one sentence and exit code 2, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.chain import params
from pipeline.cli.application import main
from pipeline.core.json_files import read_jsonl
from pipeline.core.tensors import save_tensors
from project import ROOT

Run = Callable[..., Result]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, one preset, the papers' figures and a file of prompts, and this process in it."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/mine.yaml").write_text("# my own\ncfg: 3.5\n")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/figures.toml").write_text((ROOT / "sweeps/figures.toml").read_text())
    (tmp_path / "p.txt").write_text("a red creature\n\n  a green one\n")
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def refused(*arguments: str) -> str:
    """The sentence that the command ends with."""
    result = run(*arguments)
    assert isinstance(result.exception, SystemExit) and result.exit_code == 2, result.output
    return result.output.strip().splitlines()[-1]


@pytest.mark.parametrize("name", ["foo", "", "cuda:", "cuda:x", "meta", "cpu:0"])
def test_a_device_of_no_known_kind_is_refused_in_a_short_sentence(project: Path, name: str) -> None:
    assert refused("measure", "--k", "1", "--device", name) == f"Error: --device must be cpu, cuda, cuda:N or mps, got {name!r}"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("cgf: 1\n", "presets/mine.yaml: unknown key 'cgf' (did you mean 'cfg'?)"),
        ("cfg: -1\n", "presets/mine.yaml: cfg must be >= 0.0"),
        ("- cfg\n", "presets/mine.yaml must hold 'key: value' lines"),
        ("", "presets/mine.yaml must hold 'key: value' lines"),
        ("cfg: [\n", "presets/mine.yaml cannot be read as YAML"),
    ],
)
def test_a_broken_preset_is_named_and_changes_nothing(project: Path, content: str, sentence: str) -> None:
    (project / "presets/mine.yaml").write_text(content)
    before = (project / "params.yaml").read_bytes()
    assert sentence in refused("preset", "mine")
    assert (project / "params.yaml").read_bytes() == before
    assert run("preset").exit_code == 0


def test_a_preset_says_what_it_changes(project: Path) -> None:
    assert run("preset").output.split() == ["mine", "my", "own"]
    assert run("preset", "mine").output == "cfg: 7.5 -> 3.5\n"
    assert params.load(project / "params.yaml").cfg == 3.5
    assert run("preset", "mine").output == ""


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("cfg", "'cfg' is not KEY=VALUE"),
        ("=1", "'=1' is not KEY=VALUE"),
        ("cgf=1", "unknown key 'cgf' (did you mean 'cfg'?)"),
        ("cfg=", "cfg must be a number"),
        ("cfg=[1", "cfg=[1 cannot be read as YAML"),
        ("iterations={1: {prev: 0}}", "iterations.1"),
    ],
)
def test_set_refuses_what_is_no_value_and_changes_nothing(project: Path, assignment: str, sentence: str) -> None:
    before = (project / "params.yaml").read_bytes()
    assert sentence in refused("set", "rank=2", assignment)
    assert (project / "params.yaml").read_bytes() == before


def test_set_writes_numbers_as_numbers_and_keeps_the_comments(project: Path) -> None:
    assert run("set", "cfg=2.5", "vae=null", "title=a=b").exit_code == 0
    found = params.load(project / "params.yaml")
    assert (found.cfg, found.vae, found.title) == (2.5, None, "a=b")
    assert "# classifier-free guidance scale" in (project / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("sample", "give --k for an iteration of the chain, or --prompts"),
        ("sample --k 1 --cfg 2", "--cfg does not go with --k"),
        ("sample --k 1 --images-per-prompt 2", "--images-per-prompt does not go with --k"),
        ("sample --prompts p.txt --cfg nan", "nan is not a finite number"),
        ("sample --prompts p.txt --interval-high inf", "inf is not a finite number"),
        ("sample --prompts p.txt --cfg 1e300", "not in the range"),
        ("sample --prompts p.txt --out file", "is a file"),
        ("sample --prompts p.txt --model nowhere", "there is no folder nowhere"),
        ("sample --prompts p.txt --model presets", "presets cannot be used: it is no model in diffusers layout"),
        ("sample --prompts blank.txt", "blank.txt holds no prompt"),
        ("sample --prompts p.txt --schedule interval --interval-low 6", "interval_low must be below interval_high"),
        ("miniature draw file", "is a file"),
        ("miniature draw file/below", "file is a file where a folder must be"),
        ("miniature draw out --style baroque", "--style must be one of"),
        ("miniature draw out --count 0", "0 is not in the range"),
        ("miniature draw out --count 999999999", "there are only"),
        ("miniature build --out file", "is a file"),
        ("miniature build --scale nan", "nan is not a finite number"),
        ("miniature evaluate --model presets", "presets cannot be used: it is no model in diffusers layout"),
        ("miniature evaluate --count 0", "0 is not in the range"),
    ],
    ids=lambda value: value if "--" in value or " " not in value else "",
)
def test_a_mistake_on_the_command_line_ends_in_a_sentence(project: Path, arguments: str, sentence: str) -> None:
    (project / "blank.txt").write_text(" \n\n")
    (project / "models/miniature").mkdir(parents=True)
    assert sentence in refused(*arguments.split())
    assert (project / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--prompts", "long.txt"], "prompt 2 has "),
        (["--prompts", "p.txt", "--lora", "file"], "file is not a whole safetensors file"),
        (["--prompts", "p.txt", "--lora", "other.safetensors"], "which is no key of a LoRA"),
        (["--prompts", "p.txt", "--clip-skip", "9"], "clip_skip must be 1 to 2"),
        (["--prompts", "p.txt", "--size", "100"], "multiple of 8 pixels, got 100"),
        (["--prompts", "p.txt", "--out", "file/below"], "file is a file where a folder must be"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_what_the_model_cannot_draw_ends_in_a_sentence(
    project: Path, tiny_model: Path, options: list[str], sentence: str
) -> None:
    import torch

    (project / "long.txt").write_text("short\n" + "word " * 10_000)
    save_tensors(project / "other.safetensors", {"unet.weight": torch.ones(2)})
    assert sentence in refused("sample", "--model", str(tiny_model), *options)
    assert not (project / "samples").exists()


def test_prompts_have_one_two_or_three_windows_of_tokens(project: Path) -> None:
    done = CliRunner().invoke(main, ["sample", "--prompts", "p.txt", "--max-token-length", "100"])
    assert done.exit_code == 2 and "'100' is not one of '75', '150', '225'" in done.stderr


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")])
def test_memory_that_is_used_up_is_said_in_a_sentence(project: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from pipeline.curate import stage

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(stage, "run", fail)
    assert "out of memory" in refused("curate", "--k", "1")


def test_an_error_of_the_programs_own_is_not_hidden(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.curate import stage

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(stage, "run", fail)
    assert isinstance(run("curate", "--k", "1").exception, RuntimeError)


def test_prompts_are_drawn_outside_of_any_project(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_bytes("\ufeffa red creature\r\n\r\nhorns\r\n".encode())
    options = ["--model", str(tiny_model), "--prompts", "p.txt", "--steps", "2", "--images-per-prompt", "2"]
    assert run("sample", *options, "--batch", "3").output.endswith("4 images in samples\n")
    rows = read_jsonl(tmp_path / "samples/manifest.jsonl")
    assert [(row["prompt"], row["file"]) for row in rows] == [
        ("a red creature", "00000.png"), ("a red creature", "00000_1.png"), ("horns", "00001.png"), ("horns", "00001_1.png"),
    ]  # fmt: skip
    assert len({row["sha256"] for row in rows}) == 4


def test_options_of_drawing_have_the_defaults_of_params() -> None:
    names = ("cfg", "cfg_decay", "cfg_end", "interval_low", "interval_high", "steps", "seed", "images_per_prompt", "precision")
    options = {option.name: option.default for option in main.commands["sample"].params}  # type: ignore[attr-defined]
    assert {name: options[name] for name in names} == {name: params.Params.model_fields[name].default for name in names}


@pytest.mark.parametrize("words", [("preset",), ("dataset", "list"), ("figure",)], ids=" ".join)
def test_what_is_listed_is_listed_as_json_too(project: Path, words: tuple[str, ...]) -> None:
    names = [entry if isinstance(entry, str) else entry["name"] for entry in json.loads(run(*words, "--json").stdout)]
    assert all(line.startswith(name) for line, name in zip(run(*words).stdout.splitlines(), names, strict=True))
