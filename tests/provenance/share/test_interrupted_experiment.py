"""An experiment that does not come to its end leaves params.yaml, dvc.lock and the outputs as it found them."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from project import ROOT
from provenance.share.share_project import commit, git, tree
from survival.running import Started, start

_SLEEP = """
import os, sys, time
if sys.argv[1] == os.environ.get("SLEEPS"):
    open(os.environ["TALLY"] + ".sleeps", "w").close()
    time.sleep(600)
if sys.argv[1] == os.environ.get("FAILS"):
    sys.exit(3)
"""
OWN = "# my own, not committed\n"
PLACES = ("params.yaml", "dvc.lock", "report", "data", "models", "metrics", "analysis", "traces", "features")


@pytest.fixture
def project(project: Path) -> Path:
    """The finished project, whose stages sleep or fail where they are told to, with an edit of the owner's."""
    stage = project / "stage.py"
    stage.write_text(_SLEEP + stage.read_text())
    commit(project, "slow")
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + OWN)
    return project


def state(project: Path) -> dict[str, bytes]:
    found = {}
    for name in PLACES:
        path = project / name
        found |= {name: path.read_bytes()} if path.is_file() else {f"{name}/{key}": v for key, v in tree(path).items()}
    return found


def run(project: Path, *words: str, **environment: str) -> Started:
    environment |= {"PYTHONPATH": str(ROOT), "TALLY": str(project.parent / "tally")}
    return start(project, project.parent / "log", "pipeline", "exp", "run", *words, **environment)


def interrupt(started: Started) -> int:
    os.killpg(started.process.pid, signal.SIGINT)
    return started.process.wait(120)


@pytest.mark.parametrize("stage", ["sample@1", "sample@2", "report"])
def test_ctrl_c_puts_everything_back(project: Path, stage: str) -> None:
    before = state(project)
    started = run(project, "-S", "cfg=2.5", "-S", "title=Another", SLEEPS=stage)
    started.wait_until((project.parent / "tally.sleeps").exists)
    assert "cfg: 2.5" in (project / "params.yaml").read_text()
    assert interrupt(started) == 130
    assert state(project) == before, started.said()
    assert "are as before the experiment" in started.said() or "params.yaml is as before" in started.said()
    assert git(project, "branch", "--show-current") == "main"


def test_a_stage_that_fails_leaves_them_too(project: Path) -> None:
    before = state(project)
    started = run(project, "-S", "cfg=2.5", FAILS="sample@2")
    assert started.process.wait(300) not in (0, None)
    assert state(project) == before, started.said()


def test_an_edit_made_meanwhile_stays(project: Path) -> None:
    started = run(project, "-S", "cfg=2.5", "-S", "seed=3", SLEEPS="prepare")
    started.wait_until((project.parent / "tally.sleeps").exists)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("seed: 3", "seed: 4") + "# meanwhile\n")
    assert interrupt(started) == 130
    text = params.read_text()
    assert "\ncfg: 7.5 " in text and "\nseed: 4" in text and text.endswith(f"{OWN}# meanwhile\n")


def test_a_run_that_ends_keeps_its_values(project: Path) -> None:
    started = run(project, "-S", "cfg=2.5", "--name", "whole")
    assert started.process.wait(600) == 0, started.said()
    assert "\ncfg: 2.5 " in (project / "params.yaml").read_text() and "cfg: 2.5" in (project / "dvc.lock").read_text()


@pytest.mark.slow
def test_ctrl_c_at_any_moment_leaves_the_owners_values(project: Path) -> None:
    before = state(project)
    chance = random.Random(7)
    for _ in range(12):
        started = run(project, "-S", "cfg=2.5", SLEEPS="report")
        with suppress(AssertionError):  # the moment has come first
            started.wait_until((project.parent / "tally.sleeps").exists, chance.uniform(0.5, 12.0))
        interrupt(started)
        assert state(project) == before, started.said()
        assert git(project, "branch", "--show-current") == "main" and git(project, "stash", "list") == ""
