"""`redifine exp`: what DVC would answer with a riddle is a sentence, and params.yaml outlives a failing experiment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.versioning.experiment_checks import check_git, check_settings
from project import ROOT

PARAMS = ROOT / "params.yaml"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "-S", "cfg=2.5", "-S", "schedule=cosine"],
        ["run", "-Scfg=2", "--set-param=vae=null", "--set-param", "flip=false"],
        ["run", "-S", "title='one, two: three'"],
        ["run", "--queue", "-S", "cfg=1.0,2.5,7.5"],
        ["run", "--queue", "-S", "cfg=range(1,3)", "-S", "schedule=choice(constant,linear)"],
        ["run", "-S", "interval_low=9", "-S", "interval_high=10"],
        ["run", "-S", "other.yaml:anything=at all"],
        ["show", "--csv"],
        ["remove", "-S"],
    ],
    ids=" ".join,
)
def test_settings_that_dvc_and_the_chain_understand_pass(arguments: list[str]) -> None:
    check_settings(arguments, PARAMS)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("cgf=2.5", "unknown key 'cgf' (did you mean 'cfg'?)"),
        ("params.yaml:cgf=2.5", "unknown key 'cgf'"),
        ("cfg=-1", "cfg must be >= 0.0, got -1"),
        ("cfg='2.5'", "cfg must be a number, got '2.5'"),
        ("cfg=", "cfg must be a number"),
        ("cfg=nan", "cfg must be a finite number"),
        ("interval_low=9", "interval_low must be below interval_high"),
        ("cfg=1.0,x", "cfg must be a number, got 'x'"),
        ("cfg=range(-1,3)", "cfg must be >= 0.0, got -1"),
        ("schedule=choice(constant,cosin)", "schedule must be one of"),
        ("iterations.7.prev=6", "would set a part of a mapping"),
        ("+new=1", "would add or remove a key"),
        ("~cfg", "would add or remove a key"),
        ("cfg", "cannot be read"),
        ("cfg=[1", "cannot be read"),
        ("cfg=range(1,3,0)", "cannot be read"),
        ("cfg=glob(*)", "cannot be read"),
    ],
)
def test_a_mistaken_setting_is_named_before_dvc_sees_it(setting: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check_settings(["run", "--queue", "-S", "rank=4", "-S", setting], PARAMS)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_one_bad_pair_of_a_grid_is_found() -> None:
    grid = ["run", "--queue", "-S", "interval_low=1,3", "-S", "interval_high=2,4"]
    with pytest.raises(UserError, match="got 3.0 and 2.0"):
        check_settings(grid, PARAMS)


def test_several_values_need_the_queue() -> None:
    with pytest.raises(UserError, match="add --queue"):
        check_settings(["run", "-S", "cfg=1.0,2.5"], PARAMS)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A DVC project of one stage, with params.yaml not yet known to Git."""
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    (tmp_path / "dvc.yaml").write_text("stages:\n  copy:\n    cmd: cp params.yaml out\n    params: [cfg]\n    outs: [out]\n")
    for command in (
        ["git", "init", "--quiet"], ["git", "config", "user.name", "T"], ["git", "config", "user.email", "t@example.com"],
        [sys.executable, "-m", "dvc", "init", "--quiet"], ["git", "add", "dvc.yaml", ".dvc", ".dvcignore"],
        ["git", "commit", "--quiet", "-m", "start"],
    ):  # fmt: skip
        done = run(tmp_path, *command)
        assert done.returncode == 0, done.stderr
    return tmp_path


def test_params_outlives_an_experiment_that_fails(checkout: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "exp", "run", "-S", "cfg=2.5", "no-such-stage"]
    params = checkout / "params.yaml"
    untracked = params.read_text()
    refused = run(checkout, *command)
    assert (refused.returncode, params.read_text()) == (2, untracked)
    assert refused.stderr.startswith("Error: params.yaml is not in Git") and refused.stderr.count("\n") == 1

    run(checkout, "git", "add", "params.yaml")
    run(checkout, "git", "commit", "--quiet", "-m", "params")
    params.write_text(untracked.replace("title:", "title: Mine, not"))
    changed = params.read_text()
    failed = run(checkout, *command)
    assert "no-such-stage" in failed.stderr
    assert params.read_text() == changed != untracked


@pytest.mark.parametrize(("missing", "sentence"), [("identity", "does not know who you are"), ("commit", "no commit")])
def test_a_checkout_that_is_not_ready_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, sentence: str
) -> None:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    if missing == "identity":
        identity = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
        subprocess.run(["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    with pytest.raises(UserError, match=sentence):
        check_git(tmp_path)


@pytest.fixture
def with_inputs(checkout: Path) -> Path:
    """The checkout with this project's .gitignore, a raw folder and a model that Git ignores, and all else in Git."""
    (checkout / ".gitignore").write_text((ROOT / ".gitignore").read_text() + "/out\n")
    for name in ("raw/mine/a.png", "raw/README.md", "models/base/m/unet.bin", "models/miniature/clip/x", "held/a.png"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(name)
    stage = "cmd: 'cp -r ${folder} out'\n    deps: ['${folder}', '${model}']\n    params: [cfg]\n    outs: [out]\n"
    (checkout / "dvc.yaml").write_text(f"stages:\n  copy:\n    {stage}")
    (checkout / "params.yaml").write_text(PARAMS.read_text().replace("dataset: creatures ", "dataset: folder ", 1))
    commit(checkout)
    return checkout


def commit(checkout: Path) -> None:
    for command in (["git", "add", "-A"], ["git", "commit", "--quiet", "--allow-empty", "-m", "all"]):
        done = run(checkout, *command)
        assert done.returncode == 0, done.stderr


def test_no_raw_data_and_no_base_model_gets_into_git_by_add_all(with_inputs: Path) -> None:
    (with_inputs / "downloads").mkdir()
    (with_inputs / "downloads/b.png").write_text("b")
    commit(with_inputs)
    held = run(with_inputs, "git", "ls-files", "raw", "downloads", "models", "held").stdout.split()
    assert held == ["held/a.png", "models/miniature/clip/x", "raw/README.md"]


MINE = {"folder": "raw/mine", "model": "held", "feature_model": "held", "clip_model": "held"}


def settings(**changes: str) -> list[str]:
    return [word for key, value in (MINE | changes).items() for word in ("-S", f"{key}={value}")]


@pytest.mark.parametrize("where", ["--queue", "--temp"])
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            "folder: raw/mine/a.png is not in Git, .*; run 'dvc add raw/mine' and 'git add raw/mine.dvc', or set folder to",
        ),
        (
            {"folder": "held", "model": "models/base/m"},
            "model: models/base/m/unet.bin is not in Git, .*'dvc add models/base/m' and",
        ),
        ({"folder": "raw"}, "folder: raw/mine/a.png is not in Git, .*; keep it in a folder of its own, such as raw/mine, and"),
        ({"folder": "../beside"}, "folder: ../beside is not in Git, .* hold; set folder to an absolute path"),
    ],
    ids=["raw", "model", "beside what is in Git", "outside"],
)
def test_an_input_that_dvcs_copies_would_lack_is_said_before_it_is_queued(
    with_inputs: Path, where: str, changes: dict[str, str], sentence: str
) -> None:
    (with_inputs.parent / "beside").mkdir(exist_ok=True)
    with pytest.raises(UserError, match=sentence):
        check_settings(["run", where, *settings(**changes)], with_inputs / "params.yaml")
    check_settings(["run", *settings(**changes)], with_inputs / "params.yaml")


def test_what_travels_or_needs_not_is_left_alone(with_inputs: Path) -> None:
    file = with_inputs / "params.yaml"
    check_settings(["run", "--queue", *settings(folder="held")], file)
    check_settings(["run", "--queue", *settings(folder=str(with_inputs / "raw/mine"))], file)
    check_settings(["run", "--queue", *settings(), "-S", "dataset=creatures"], file)


def test_the_advice_before_the_queue_works(with_inputs: Path) -> None:
    """Raw images and a model that DVC holds reach the copy in which it runs, and Git gets no picture."""
    arguments = ["run", "--temp", *settings(model="models/base/m")]
    for path in ("raw/mine", "models/base/m"):
        assert run(with_inputs, sys.executable, "-m", "dvc", "add", "--quiet", path).returncode == 0
        assert run(with_inputs, "git", "add", f"{path}.dvc").returncode == 0
    done = run(with_inputs, sys.executable, "-m", "pipeline", "exp", *arguments, "--name", "copied")
    assert done.returncode == 0, done.stderr
    commit(with_inputs)
    held = run(with_inputs, "git", "ls-files", "raw", "models/base").stdout.split()
    assert held == ["models/base/m.dvc", "raw/README.md", "raw/mine.dvc"]
    reference = run(with_inputs, "git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/copied").stdout.strip()
    lock = run(with_inputs, "git", "show", f"{reference}:dvc.lock").stdout
    assert "- path: out" in lock and "- path: raw/mine" in lock
