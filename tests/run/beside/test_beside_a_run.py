"""What is started beside a run waits, is refused before it changes anything, or touches nothing that the run uses."""

from __future__ import annotations

import pickle
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from run.beside.project import MODULE, Project, hold_lock, new_project

from test_chain import dvc, git


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = new_project(tmp_path, seconds=20.0)
    yield made
    made.end()


def asked(project: Project, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=project.root, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("program", ["pipeline", "dvc"])
def test_what_would_change_files_under_a_run_is_refused_before_it_does(project: Project, program: str) -> None:
    running = project.start("repro", program=program)
    project.wait_for(lambda: project.begun("train@1"))
    before = {path: path.stat().st_ctime_ns for path in project.root.glob("*.yaml")}
    for words in (["exp", "run", "-S", "cfg=2.5"], ["repro"], ["exp", "save"]):
        code, said = project.redifine(*words)
        assert code == 2 and said.startswith(f"Error: PID {running.pid} (") and said.count("\n") == 1, (words, said)
        assert "is at work in this clone; wait until it has ended" in said
    assert {path: path.stat().st_ctime_ns for path in before} == before
    (project.root / "seconds").write_text("0")
    assert project.said(running) and running.returncode == 0
    assert len(project.computed()) == 3 and set(project.computed().values()) == {1} and project.untruths() == []


def test_the_queue_leaves_the_work_tree_alone_and_holds_what_dvcs_own_would(project: Project) -> None:
    (project.root / MODULE).write_text("# edited\n")
    (project.root / "raw/mine").mkdir()
    (project.root / "raw/mine/a.txt").write_text("one\n")
    dvc(project.root, "add", "raw/mine")
    git(project.root, "add", "raw")
    (project.root / "raw/mine/a.txt").write_text("two\n")
    times = {path: path.stat().st_ctime_ns for path in project.root.rglob("*") if path.is_file() and ".git" not in path.parts}
    code, said = project.redifine("exp", "run", "--queue", "-n", "ours", "-S", "cfg=2.5", "-S", "title='Größe, at last'")
    assert code == 0, said
    for path, stamp in times.items():
        if ".dvc" not in path.parts:
            assert path.stat().st_ctime_ns == stamp, path
    dvc(project.root, "exp", "run", "--queue", "-n", "theirs", "-S", "cfg=2.5", "-S", "title='Größe, at last'")
    theirs, ours = asked(project, "reflog", "show", "--format=%H", "refs/exps/celery/stash").split()
    assert asked(project, "diff", "--name-only", ours, theirs) == ".dvc/tmp/repro.dat\n"
    packed = [
        pickle.loads(subprocess.run(["git", "show", f"{one}:.dvc/tmp/repro.dat"], cwd=project.root, capture_output=True).stdout)
        for one in (ours, theirs)
    ]
    for one, name in zip(packed, ("ours", "theirs"), strict=True):
        assert one["kwargs"]["run_env"].pop("DVC_EXP_NAME") == name
    packed[1]["kwargs"]["run_env"] = {
        key: value for key, value in packed[1]["kwargs"]["run_env"].items() if key in packed[0]["kwargs"]["run_env"]
    }
    assert packed[0] == packed[1]
    assert asked(project, "rev-parse", f"{ours}^") == asked(project, "rev-parse", f"{theirs}^")
    assert "ours" in dvc(project.root, "queue", "status").stdout


def test_a_stage_that_ends_while_another_has_the_lock_waits_and_says_for_whom(project: Project) -> None:
    running = project.start("repro", "train@1")
    project.wait_for(lambda: project.begun("train@1"))
    holder = hold_lock(project, 12.0)
    project.wait_for((project.root / "held").exists)
    start = time.monotonic()
    code, said = project.redifine("status")
    assert code == 0 and "running: train@1" in said, said
    assert holder.poll() is None or time.monotonic() - start > 10, "status takes no lock"
    said = project.said(running)
    assert running.returncode == 0, said
    assert set(project.computed().values()) == {1}


@pytest.mark.parametrize("program", ["pipeline", "dvc"])
def test_the_lock_is_waited_for_or_nothing_is_computed_again(tmp_path: Path, program: str) -> None:
    project = new_project(tmp_path, seconds=8.0)
    try:
        running = project.start("repro", "train@1", program=program)
        project.wait_for(lambda: project.begun("train@1"))
        holder = hold_lock(project, 20.0)
        said = project.said(running)
        if program == "pipeline":
            assert running.returncode == 0 and f"waiting for PID {holder.pid} (" in said, said
        else:
            code, said = project.redifine("repro", "train@1")
            assert code == 0, said
        assert list(project.computed().values()) == [1] and project.untruths() == []
    finally:
        project.end()
