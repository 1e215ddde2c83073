"""What a killed `dvc exp run` leaves is told with commands that put it right."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.application import main
from pipeline.run.doctor import note
from pipeline.run.doctor.project import experiment
from pipeline.run.status.killed_experiment import leftovers
from project import ROOT

DVC_YAML = """
stages:
  prepare: {cmd: cp params.yaml d0, params: [cfg], outs: [d0]}
  slow: {cmd: "if grep -q 'cfg: 2.5' params.yaml; then touch started; sleep 600; fi; cp d0 d1", deps: [d0], outs: [d1]}
"""
PATIENCE_SECONDS = 120


def run(root: Path, *command: str) -> str:
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def dvc(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A chain that has run at cfg 7.5 and is committed on branch main."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "dvc.yaml").write_text(DVC_YAML)
    shutil.copy(ROOT / "params.yaml", root)
    run(root, "git", "init", "-q", "-b", "main")
    run(root, "git", "config", "user.name", "a")
    run(root, "git", "config", "user.email", "a@example.org")
    run(root, *dvc("init", "-q"))
    (root / ".gitignore").write_text("d0\nd1\nstarted\n")
    run(root, *dvc("repro", "-q"))
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "run")
    return root


@pytest.fixture
def running(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`dvc exp run` at cfg 2.5, in the middle of its second stage."""
    words = dvc("exp", "run", "-q", "-S", "cfg=2.5")
    with subprocess.Popen(words, cwd=project, start_new_session=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"}) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not (project / "started").exists():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_what_a_killed_experiment_leaves_is_put_right_by_the_commands_that_are_told(
    project: Path, running: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leftovers(project) is None, "it runs"
    running.kill()
    running.wait()
    left = leftovers(project)
    assert left is not None
    assert left.found == (
        "a 'dvc exp run' was killed: HEAD is detached, dvc.lock and params.yaml are as the experiment left them"
    )
    monkeypatch.chdir(project)
    assert CliRunner().invoke(main, ["status"]).stdout.startswith(f"{left.found}; {left.remedy}\n")
    assert experiment(project) == note("experiment", left.found, left.remedy)
    for command in map(shlex.split, re.findall(r"'((?:git|dvc) [^']+)'", left.remedy)):
        run(project, *(dvc(*command[1:]) if command[0] == "dvc" else command))
    assert leftovers(project) is None and experiment(project).level == "ok"
    assert run(project, "git", "status", "--porcelain", "--branch") == "## main\n"
    assert "cfg: 7.5" in (project / "d0").read_text()
    assert json.loads(CliRunner().invoke(main, ["status", "--json"]).stdout)["killed_experiment"] is None


def killed(root: Path) -> None:
    """By hand what DVC leaves, on a new repository with a branch: its note of a process that has ended, and its commit."""
    (root / "params.yaml").write_text("cfg: 7.5\n")
    run(root, "git", "init", "-q", "-b", "main")
    run(root, "git", "add", "params.yaml")
    commit = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qam")
    run(root, *commit, "start")
    run(root, "git", "checkout", "-q", "--detach")
    (root / "params.yaml").write_text("cfg: 2.5\n")
    run(root, *commit, "values")
    run(root, "git", "update-ref", "refs/exps/exec/EXEC_MERGE", "HEAD")
    run(root, "git", "reset", "-q", "--soft", "main")
    path = root / ".dvc/tmp/exps/run/workspace/workspace.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"pid": _ended()}))


def _ended() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_is_right_again_is_told_no_more(tmp_path: Path) -> None:
    killed(tmp_path)
    left = leftovers(tmp_path)
    assert left is not None and "'git switch main', 'git restore --staged --worktree params.yaml'" in left.remedy
    run(tmp_path, "git", "switch", "-q", "main")
    left = leftovers(tmp_path)
    assert left is not None and left.found == "a 'dvc exp run' was killed: params.yaml is as the experiment left it"
    assert "switch" not in left.remedy
    (tmp_path / "params.yaml").write_text("cfg: 3.0\n")
    assert leftovers(tmp_path) is None, "an edit of one's own"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": null}', '{"pid": 1e400}'])
def test_a_torn_note_counts_as_one_of_a_killed_run(tmp_path: Path, content: str) -> None:
    killed(tmp_path)
    (tmp_path / ".dvc/tmp/exps/run/workspace/workspace.json").write_text(content)
    assert leftovers(tmp_path) is not None


def test_a_head_that_the_user_detached_is_nothing_to_tell(tmp_path: Path) -> None:
    killed(tmp_path)
    shutil.rmtree(tmp_path / ".dvc")
    assert leftovers(tmp_path) is None
