"""Ctrl-C, a DVC that is gone, and two at once: short words, and nobody left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.core.json_files import write_json
from pipeline.core.process import lock_holder
from project import ROOT
from survival.running import Started, start
from test_chain import dvc, environment, git, new_project, set_params
from train.train_project import needs_sd_scripts

_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process ask to die with its parent")

_ORPHAN = """
import os, sys, time
from pipeline.core.process import die_with_parent
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
print("alone", flush=True)
die_with_parent()
print("still here", flush=True)
"""


@_LINUX
def test_a_process_whose_parent_is_gone_already_ends_at_once(tmp_path: Path) -> None:
    parent = f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {_ORPHAN!r}, str(os.getpid())])"
    with (tmp_path / "said").open("w") as output:
        subprocess.run(
            [sys.executable, "-c", parent], stdout=output, start_new_session=True, check=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    until = time.monotonic() + 60
    while "alone" not in (tmp_path / "said").read_text() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(1.0)
    assert (tmp_path / "said").read_text() == "alone\n"


@_LINUX
@pytest.mark.parametrize("leader", [True, False], ids=["leader of a group", "member of its parent's group"])
def test_a_process_with_a_living_parent_lives(leader: bool) -> None:
    child = "from pipeline.core.process import die_with_parent; die_with_parent(); print('here')"
    done = subprocess.run(
        [sys.executable, "-c", child], env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=leader,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "here\n", done.stderr


def sleeping_project(folder: Path) -> Path:
    """A DVC project with one stage, which says that it runs and then sleeps."""
    folder.mkdir()
    git(folder, "init", "--quiet")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=folder, env=environment(), check=True)
    command = "touch running && sleep 100"
    (folder / "dvc.yaml").write_text(f"stages:\n  sleep:\n    cmd: {command}\n    outs: [data/D_0]\n")
    return folder


def test_a_second_repro_in_one_clone_says_who_is_at_work(tmp_path: Path) -> None:
    project = sleeping_project(tmp_path / "a")
    first = start(project, tmp_path / "first.log", "dvc", "repro")
    try:
        first.wait_until((project / "running").exists)
        pythonpath = {"PYTHONPATH": str(ROOT)}
        for command in (["dvc", "repro"], ["pipeline", "repro"]):
            second = start(project, tmp_path / "second.log", *command, **pythonpath)
            assert second.process.wait() != 0
            named = f"PID {first.process.pid} (" if command[0] == "pipeline" else f"(PID {first.process.pid}): "
            assert named in second.said() and "Traceback" not in second.said(), second.said()
        assert first.process.poll() is None
    finally:
        first.kill_rest()


@pytest.mark.parametrize("words", [["repro"], ["get", "1"]], ids=" ".join)
def test_a_command_that_needs_dvcs_lock_names_its_holder_and_waits(tmp_path: Path, words: list[str]) -> None:
    from provenance.share.share_project import new_project as stand_in

    project = stand_in(tmp_path / "world/a", iterations=1)
    outs = [{"path": path, "md5": "0" * 32, "size": 1} for path in ("data/D_1", "models/M_1")]
    write_json(project / "dvc.lock", {"schema": "2.0", "stages": {"prepare": {"cmd": "x", "outs": outs}}})  # JSON is YAML
    dvc(project, "remote", "add", "-d", "here", str(tmp_path / "world/store"))
    holder = "import sys, time; from dvc.repo import Repo\nwith Repo('.').lock: open('held', 'w').close(); time.sleep(100)"
    held = subprocess.Popen([sys.executable, "-c", holder], cwd=project, env=environment())
    try:
        while not (project / "held").exists():
            assert held.poll() is None
            time.sleep(0.05)
        assert str(held.pid) in (lock_holder(project) or "")
        done = start(project, tmp_path / "log", "pipeline", *words, PYTHONPATH=str(ROOT))
        done.wait_until(lambda: f"waiting for PID {held.pid} (" in done.said())
        time.sleep(6.0)  # DVC itself gives up after 5
        assert done.process.poll() is None and done.said().count("\n") == 1, done.said()
    finally:
        held.kill()
        held.wait()
    assert done.process.wait(120) != 130 and "lock" not in done.said().partition("\n")[2], done.said()
    assert lock_holder(project) is None


def interrupted(started: Started, starting: bool = False) -> str:
    """Press Ctrl-C -> all that was said; nobody may be left. While Python itself is `starting` it says so in its own words."""
    os.killpg(started.process.pid, signal.SIGINT)
    started.process.wait(120)
    assert started.left_behind(10) == []
    assert starting or "Traceback" not in started.said(), started.said()
    return started.said()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A project that is ready to train M_1 for a long time; read only."""
    project = new_project(tmp_path_factory.mktemp("interrupt") / "project", tiny_model, iterations=1)
    set_params(project, updates=100_000)
    for arguments in (["prepare"], ["curate", "--k", "1"]):
        subprocess.run([sys.executable, "-m", "pipeline", *arguments], cwd=project, env=environment(), check=True)
    return project


def test_ctrl_c_in_a_training_is_one_line(trained: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(trained, tmp_path / "project"))
    started = start(project, tmp_path / "log", "pipeline", "train", "--k", "1")
    started.wait_until(lambda: (project / "models/.M_1.partial/train.toml").exists())
    time.sleep(1.0)
    said = interrupted(started)
    assert said.splitlines()[-1].startswith("Stopped: ") and len(said.splitlines()) <= 3, said
    assert started.process.returncode == 130
    assert not list(project.glob("models/*M_1*"))


@pytest.mark.slow
@needs_sd_scripts
def test_ctrl_c_ends_sd_scripts_too(trained: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(trained, tmp_path / "project"))
    (tmp_path / "vendor").symlink_to(ROOT / "vendor")
    set_params(project, trainer="kohya")
    losses = project / "models/.M_1.partial/loss.csv"
    for moment in ("at its start", "in its steps"):
        started = start(project, tmp_path / "log", "pipeline", "train", "--k", "1")
        started.wait_until(lambda: (project / "logs/train_1.log").exists())
        if moment == "in its steps":
            started.wait_until(lambda: losses.exists() and losses.read_text().count("\n") > 3)
        said = interrupted(started)
        assert said.splitlines()[-1].startswith("Stopped: "), said
        (project / "logs/train_1.log").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("program", ["dvc", "pipeline"])
def test_ctrl_c_in_repro_ends_the_stage_too(trained: Path, tmp_path: Path, program: str) -> None:
    project = Path(shutil.copytree(trained, tmp_path / "project"))
    started = start(project, tmp_path / "log", program, "repro")
    started.wait_until(lambda: (project / "models/.M_1.partial/train.toml").exists())
    time.sleep(2.0)
    said = interrupted(started)
    assert "Stopped: " in said and ("exited with 130" in said) == (program == "dvc")
    # In DVC itself, which looks at each stage before it starts one.
    for seconds in (0.5, 1.0, 1.5):
        started = start(project, tmp_path / "log", program, "repro")
        time.sleep(seconds)
        interrupted(started, starting=True)
