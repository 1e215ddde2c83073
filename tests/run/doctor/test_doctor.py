"""Each check of the doctor against a machine or checkout that has what it looks for, and one that has not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from pipeline.chain.params import Params, check
from pipeline.cli import doctor as commands
from pipeline.cli.application import main
from pipeline.run.doctor import CheckResult, git_and_dvc, hardware, note, ok, problem, project
from pipeline.run.doctor.hardware import output_of


def params(**changes: object) -> Params:
    return check({"iterations": {"1": {"prev": 0}}, "trainer": "builtin", **changes})


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(("name", "value"), [("precision", "fp16"), ("optimizer", "AdamW8bit"), ("attention", "xformers")])
def test_what_only_a_gpu_does_is_a_problem_without_one(without_gpu: None, name: str, value: str) -> None:
    found = hardware.gpu(params(**{name: value}))
    assert found.level == "problem" and f"{name} is {value}" in found.found and f"set {name}: " in found.remedy
    assert hardware.gpu(params()).level == "note"


def test_a_driver_that_is_too_old_for_torch_is_named(without_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(hardware, "driver", lambda: ok("driver", "NVIDIA 470.82"))
    found = hardware.gpu(None)
    assert found.level == "note" and "built for CUDA 13.0, and the driver is NVIDIA 470.82" in found.found
    assert "newer driver" in found.remedy


def test_the_gpu_only_values_are_those_that_training_refuses_on_a_cpu() -> None:
    from pipeline.chain.params import View
    from pipeline.core.errors import UserError
    from pipeline.train.stage import check_device

    other = {"precision": "fp16", "optimizer": "AdamW8bit", "attention": "xformers"}
    assert {name for name, _ in hardware.CPU_CHOICES} == set(other)
    for name, on_cpu in hardware.CPU_CHOICES:
        for value in on_cpu:
            check_device(View(params(**{name: value}), "train"), "cpu")
        with pytest.raises(UserError, match=name):
            check_device(View(params(**{name: other[name]}), "train"), "cpu")


def test_an_optional_library_is_a_problem_only_when_params_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware.importlib.util, "find_spec", lambda name: None)
    assert hardware.xformers(params()).level == hardware.bitsandbytes(params()).level == "ok"
    assert hardware.xformers(params(attention="xformers")).level == "problem"
    assert hardware.bitsandbytes(params(optimizer="AdamW8bit")).level == "problem"


@pytest.mark.parametrize(("free", "level"), [(2**40, "ok"), (2**30, "note"), (2**20, "problem")])
def test_the_less_room_the_worse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, level: str) -> None:
    monkeypatch.setattr(hardware.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert hardware.disk(tmp_path).level == level


def test_another_python_first_on_the_path_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = project.python()
    assert found.level == "problem" and str(tmp_path) in found.found
    monkeypatch.setenv("PATH", "")
    assert "no 'python' on the PATH" in project.python().found


def test_packages_that_differ_from_the_lock_are_named(tmp_path: Path) -> None:
    import click

    (tmp_path / "requirements.lock").write_text("# pins\nclick==0.0.1\nno-such-thing==1.0\n")
    found = project.packages(tmp_path)
    assert found.level == "note" and "no-such-thing missing for 1.0" in found.found and "click " in found.found
    assert f"for {click.__name__}" not in found.found


def test_a_model_is_there_when_its_parts_are(tmp_path: Path) -> None:
    wanted = params(model="base")
    assert "base/tokenizer, base/text_encoder, base/vae, base/unet is not there" in project.model(tmp_path, wanted).found
    for part in ("tokenizer", "text_encoder", "unet"):
        (tmp_path / "base" / part).mkdir(parents=True)
    assert project.model(tmp_path, wanted).level == "problem"
    (tmp_path / "other").mkdir()
    assert project.model(tmp_path, params(model="base", vae="other")).level == "ok"


def test_images_of_ones_own_must_be_there_when_they_are_asked_for(tmp_path: Path) -> None:
    wanted = params(dataset="folder", folder="mine")
    assert project.images(tmp_path, wanted).level == "problem"
    (tmp_path / "mine").mkdir()
    assert project.images(tmp_path, wanted).level == project.images(tmp_path, params()).level == "ok"


@pytest.fixture
def checkout(tmp_path: Path) -> tuple[Path, Path]:
    """A project whose index pins sd-scripts at the commit of the sd-scripts inside it."""
    scripts = tmp_path / "vendor/sd-scripts"
    scripts.mkdir(parents=True)
    (scripts / "train_network.py").touch()
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for folder in (scripts, tmp_path):
        git(folder, "init", "--quiet")
    git(scripts, "add", "-A")
    git(scripts, *identity, "commit", "--quiet", "-m", "one")
    git(tmp_path, "update-index", "--add", "--cacheinfo", f"160000,{git(scripts, 'rev-parse', 'HEAD')},vendor/sd-scripts")
    return tmp_path, scripts


def test_sd_scripts_is_compared_with_its_pin(checkout: tuple[Path, Path]) -> None:
    root, scripts = checkout
    assert project.scripts(root, params()).found.endswith("as pinned")
    git(scripts, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--allow-empty", "-m", "two")
    found = project.scripts(root, params())
    assert found.level == "note" and "but this checkout pins" in found.found and found.remedy == "run 'make vendor'"


def test_without_sd_scripts_only_the_kohya_trainer_has_a_problem(tmp_path: Path) -> None:
    assert project.scripts(tmp_path, params(trainer="kohya")).level == "problem"
    assert project.scripts(tmp_path, params()).level == "note"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ssh://me:secret@host:22/path", "ssh://host:22/path"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("/mnt/share", "/mnt/share"),
        ("https://token@host/x", "https://host/x"),
        ("http://[", "a URL that cannot be read"),
    ],
)
def test_a_remotes_url_is_shown_without_credentials(url: str, shown: str) -> None:
    assert git_and_dvc.without_credentials(url) == shown


def remotes(tracked: dict[str, dict[str, str]]) -> CheckResult:
    config = type("Config", (dict,), {"read": lambda self, level: {"remote": tracked}})({"remote": tracked})
    (found,) = git_and_dvc.remotes(SimpleNamespace(config=config))  # type: ignore[arg-type]
    return found


def test_credentials_that_git_would_share_are_told_and_not_shown() -> None:
    for entry in ({"url": "ssh://me:hunter2@host/x"}, {"url": "s3://b", "secret_access_key": "hunter2"}):
        found = remotes({"lab": entry})
        assert found.level == "note" and "credentials of lab" in found.found and "hunter2" not in str(found)
    assert remotes({"lab": {"url": "ssh://me@host/x"}}) == ok("remotes", "lab: ssh://host/x")
    assert remotes({}) == note("remotes", "none, so iterations cannot be shared", "run 'make remote URL=...'")


def test_the_cache_says_how_it_links(tmp_path: Path) -> None:
    from dvc.repo import Repo

    with Repo.init(str(tmp_path), no_scm=True) as repo:
        for kind in ("symlink", "hardlink"):
            repo.cache.local.cache_types = [kind, "copy"]
            assert git_and_dvc.cache(repo) == ok("cache", f"{repo.cache.local.path}, by {kind}")
        repo.cache.local.cache_types = ["copy"]
        assert git_and_dvc.cache(repo).level == "note"


def test_a_folder_without_dvc_is_one_problem(tmp_path: Path) -> None:
    (found,) = git_and_dvc.dvc(tmp_path)
    assert found.level == "problem" and "dvc init" in found.remedy


def test_a_command_that_is_not_there_or_fails_says_nothing() -> None:
    assert output_of(["no-such-command"]) is None
    assert output_of(["false"]) is None
    assert output_of(["echo", "yes"]) == "yes"


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("note", 0), ("problem", 1)])
def test_the_exit_code_is_1_only_for_a_problem(monkeypatch: pytest.MonkeyPatch, level: str, code: int) -> None:
    finding = {"ok": ok("disk", "much"), "note": note("disk", "little", "make room"), "problem": problem("disk", "none", "x")}[
        level
    ]
    monkeypatch.setattr(commands, "examine", lambda root: [ok("GPU", "one"), finding])
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == code and len(result.output.splitlines()) == 2
    as_json = CliRunner().invoke(main, ["doctor", "--json"])
    assert as_json.exit_code == code and json.loads(as_json.output)[1]["level"] == level
