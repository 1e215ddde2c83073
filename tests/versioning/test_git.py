"""A clone without sd-scripts stays one that Git works in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.application import main

PIN = "ae72efb92babe89ff8e70f057e42db68440e8d61"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Git checkout with a submodule that was never fetched, and a link to its repository."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    entry = f"160000,{PIN},vendor/sd-scripts"
    subprocess.run(["git", "update-index", "--add", "--cacheinfo", entry], cwd=tmp_path, check=True)
    (tmp_path / "vendor/sd-scripts").mkdir(parents=True)
    (tmp_path / "vendor/sd-scripts/.git").write_text("gitdir: ../../.git/modules/vendor/sd-scripts\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def git_works() -> bool:
    return subprocess.run(["git", "status"], capture_output=True, check=False).returncode == 0


def test_a_link_to_no_repository_goes_with_the_next_command(clone: Path) -> None:
    assert not git_works()
    CliRunner().invoke(main, ["preset"])
    assert git_works()


def test_a_submodule_that_is_there_keeps_its_link(clone: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", clone / ".git/modules/vendor/sd-scripts"], check=True)
    CliRunner().invoke(main, ["preset"])
    assert (clone / "vendor/sd-scripts/.git").is_file()
