"""`redifine repro` and `redifine exp run` end as the stage did that failed, where that says what to do."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from project import ROOT
from survival.running import start
from survival.test_interrupts import interrupted
from test_chain import environment, git


def project_of(folder: Path, command: str) -> Path:
    """A DVC project in Git whose one stage is `command`."""
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "config", "user.name", "a")
    git(folder, "config", "user.email", "a@b.c")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=folder, env=environment(), check=True)
    (folder / "dvc.yaml").write_text(f"stages:\n  only:\n    cmd: {command}\n    always_changed: true\n")
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "raw").mkdir()
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "a")
    return folder


@pytest.mark.parametrize("words", [["repro"], ["exp", "run"]], ids=" ".join)
@pytest.mark.parametrize(("ended", "code"), [(0, 0), (2, 2), (130, 130), (3, 255)])
def test_the_exit_status_of_a_stage_comes_through(tmp_path: Path, words: list[str], ended: int, code: int) -> None:
    project = project_of(tmp_path / "a", f"exit {ended}")
    done = start(project, tmp_path / "log", "pipeline", *words, PYTHONPATH=str(ROOT))
    assert done.process.wait(120) == code, done.said()
    assert ("exited with 3" in done.said()) == (ended == 3)
    assert ("only ended there; what it had made before is in DVC's cache" in done.said()) == (ended == 2)
    assert done.said().count("ERROR") == (ended == 3)
    assert "Traceback" not in done.said()


def test_what_is_wrong_before_any_stage_keeps_dvcs_status(tmp_path: Path) -> None:
    project = project_of(tmp_path / "a", "exit 0")
    done = start(project, tmp_path / "log", "pipeline", "repro", "no-such-stage", PYTHONPATH=str(ROOT))
    assert done.process.wait(120) == 255
    assert "no-such-stage" in done.said() and "Traceback" not in done.said()


@pytest.mark.parametrize("seconds", [0.4, 1.2, 2.0])
def test_ctrl_c_at_the_start_is_one_line(tmp_path: Path, seconds: float) -> None:
    started = start(project_of(tmp_path / "a", "sleep 100"), tmp_path / "log", "pipeline", "repro", PYTHONPATH=str(ROOT))
    time.sleep(seconds)
    said = interrupted(started)
    assert started.process.returncode in (130, -2), said
    # Before Python has imported anything it can say nothing; from then on it says one thing.
    assert "ERROR" not in said and (not said or said.splitlines()[-1].startswith("Stopped: ")), said


_DEAF = """
import os, signal, subprocess, sys, time
import dvc.cli
def deaf(arguments):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except KeyboardInterrupt:
        pass
    stage = subprocess.Popen(["sleep", "100"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("stage ended with", stage.wait())
    return 255
dvc.cli.main = deaf
from pipeline.versioning.dvc_command import run_dvc
sys.exit(run_dvc(["repro"]))
"""


def test_a_ctrl_c_that_dvc_swallows_ends_the_stage_that_it_starts_next(tmp_path: Path) -> None:
    (tmp_path / "deaf.py").write_text(_DEAF)
    done = subprocess.run(
        [sys.executable, tmp_path / "deaf.py"], env=environment() | {"PYTHONPATH": str(ROOT)}, timeout=60,
        capture_output=True, text=True, check=False, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert done.stdout == "stage ended with -2\n", done.stderr


def test_a_missing_folder_of_raw_images_is_one_sentence(tmp_path: Path) -> None:
    project = project_of(tmp_path / "a", "exit 0")
    done = start(project, tmp_path / "log", "pipeline", "repro", PYTHONPATH=str(ROOT))
    assert done.process.wait(120) == 0
    (project / "raw").rmdir()
    done = start(project, tmp_path / "log", "pipeline", "repro", PYTHONPATH=str(ROOT))
    assert done.process.wait(120) == 2
    assert done.said().startswith("Error: raw is not a folder; put the images") and done.said().count("\n") == 1
