"""Random folders through `dataset check`, `fetch` and `prepare`: no traceback, one judgement, and no picture is lost."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hostile.random_folders import IMAGE_SUFFIXES, Entry, folders, write
from hostile.workplace import SETTINGS, as_yaml
from hypothesis import HealthCheck, given, seed, settings

from pipeline.chain.params import check
from pipeline.cli.application import main
from pipeline.core.errors import printable
from pipeline.inputs import caption_lengths
from pipeline.prepare import stage

ANY_HEALTH = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


LITTER_FOLDERS = {".ipynb_checkpoints", "@eaDir", "__MACOSX", ".thumbnails", "$RECYCLE.BIN"}


@pytest.fixture(autouse=True)
def any_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base model is no matter here; nothing of it is read."""
    monkeypatch.setattr(stage, "require_usable", lambda *_: None)
    monkeypatch.setattr(stage, "base_files", lambda *_: {})
    monkeypatch.setattr(stage, "origins", lambda *_: [])
    for reader in (stage, caption_lengths):
        monkeypatch.setattr(reader, "cut_captions", lambda *_: [])


@settings(max_examples=60, derandomize=True, **ANY_HEALTH)
@given(entries=folders())
def test_a_random_folder_is_judged_alike_by_all_and_loses_no_picture(entries: list[Entry]) -> None:
    judge(entries)


@pytest.mark.slow
@seed(2000)
@settings(max_examples=2000, **ANY_HEALTH)
@given(entries=folders())
def test_two_thousand_random_folders_are_judged_alike_by_all_and_lose_no_picture(entries: list[Entry]) -> None:
    judge(entries)


def judge(entries: list[Entry]) -> None:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        try:
            (Path(place) / "raw").mkdir()
            write(entries, Path("raw"))
            judge_raw()
        finally:
            os.chdir(before)


def judge_raw() -> None:
    """Hold the three commands' words on ./raw against each other and against its files."""
    settle(strict=False)
    checked, prepared = ran("dataset", "check", "folder", "raw"), ran("prepare")
    fetched = ran("dataset", "fetch", "raw", "--out", "out")
    if fetched.exit_code == 0:
        written = sum(path.suffix != ".txt" for path in Path("out").glob("0*"))
        assert fetched.stdout.splitlines()[-1].startswith(f"{written} images in out; ")
        assert len(unnamed(fetched.stdout)) - left_out_by_folder(fetched.stdout) <= written, fetched.stdout
    if checked.exit_code:
        assert prepared.exit_code == 2, prepared.output
        return
    counted = re.fullmatch(r"(\d+) usable images.*; (\d+) problem\(s\)", checked.stdout.splitlines()[-1])
    assert counted is not None, checked.stdout
    usable, problems = map(int, counted.groups())
    assert (prepared.exit_code == 0) == (usable >= 2), prepared.output
    if prepared.exit_code == 0:
        assert_alike(checked.stdout, usable, problems)
    settle(strict=True)
    strict, strictly = ran("prepare"), ran("dataset", "check", "folder", "raw", "--strict")
    assert (strict.exit_code == 0) == (strictly.exit_code == 0) == (usable >= 2 and not problems), strict.output


def assert_alike(checked: str, usable: int, problems: int) -> None:
    """Hold D_0 and the log of `prepare` against what `dataset check` said."""
    log = Path("logs/prepare_0.log")
    lines = log.read_text().splitlines() if log.exists() else []
    told = [line.removeprefix("left out: ") for line in lines if not line.startswith("kept: ")]
    assert told == checked.splitlines()[: len(told)] and sum(line.startswith("left out: ") for line in lines) == problems
    names = [json.loads(line)["name"] for line in Path("data/prompts.jsonl").read_text().split("\n") if line]
    assert len(names) == usable and len(list(Path("data/D_0").glob("0*.png"))) == usable
    lost = [path for path in unnamed(checked) if not {as_name(path.with_suffix("")), as_name(path)} & {*names}]
    assert len(lost) == left_out_by_folder(checked), (lost, checked)


def as_name(path: Path) -> str:
    return "-".join(path.parts)


def unnamed(said: str) -> list[Path]:
    """Every picture below raw, apart from what systems leave, that no line names, by its own name or by its caption's."""
    pictures = [path.relative_to("raw") for path in Path("raw").rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES]
    meant = [path for path in pictures if path.parts[0] not in LITTER_FOLDERS and not path.name.startswith(("._", "~$"))]
    return [path for path in meant if not is_named(path, said.splitlines())]


def is_named(path: Path, lines: list[str]) -> bool:
    """Tell whether a line is about a picture: by its own path, its caption's, or beside another that has its name."""
    own = [path.name, *(f"{path.stem}{suffix}" for suffix in (".txt", ".caption", ".TXT"))]
    beginnings = tuple(printable((path.parent / name).as_posix()) + " " for name in own)
    place = printable(path.parent.as_posix()) if path.parent.parts else ""
    return any(
        line.startswith(beginnings)
        or ("one caption would count for both" in line and line.startswith(place) and printable(path.name) in line)
        for line in lines
    )


def left_out_by_folder(said: str) -> int:
    """How many pictures the lines count that leave out a whole folder: regularisation, 0 repeats, outputs, another split."""
    pattern = r"^(\d+) (?:regularisation )?image\(s\)[^\n]* left out"
    return sum(int(count) for count in re.findall(pattern, said, re.MULTILINE))


def settle(strict: bool) -> None:
    Path("params.yaml").write_text(as_yaml(check(SETTINGS | {"strict": strict}).model_dump()))


def ran(*arguments: str) -> Result:
    """Run a command, which ends well or with one sentence."""
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert (result.exit_code, len(errors)) in ((0, 0), (2, 1)), result.output
    return result
