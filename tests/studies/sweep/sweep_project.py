"""A very small project for sweeps: this project's parameters, and stages that take no time and keep a tally."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.run import fork_client
from pipeline.studies.sweep import chain_status, progress_files
from pipeline.studies.sweep.plan import Chain
from project import ROOT

DVC_YAML = """\
stages:
  prepare:
    cmd: python stage.py prepare
    params: [seed]
    outs: [data/D_0]
  train:
    foreach: ${iterations}
    do:
      cmd: python stage.py train@${key}
      deps: [data/D_0]
      params: [seed, condition_drop]
      outs: ["models/M_${key}"]
  measure:
    foreach: ${iterations}
    do:
      cmd: python stage.py measure@${key}
      deps: ["models/M_${key}"]
      params: [cfg]
      outs: ["metrics/${key}.json"]
  report:
    cmd: python stage.py report
    deps: [metrics]
    outs:
      - report/summary.json:
          cache: false
"""

STAGE = """\
import json, os, pathlib, sys, time
from pipeline.core.process import die_with_parent
die_with_parent()
name, _, k = sys.argv[1].partition("@")
with open(os.environ["TALLY"], "a") as tally:
    tally.write(f"start {sys.argv[1]}\\n")
text = pathlib.Path("params.yaml").read_text()
value = {key: float(text.split(f"\\n{key}: ")[1].split()[0]) for key in ("cfg", "condition_drop", "seed")}
if value["cfg"] == 99.0 and name == "measure":
    sys.exit("guidance is too strong")
if value["cfg"] == 77.0:
    time.sleep(600)
time.sleep(float(os.environ.get("STAGE_SECONDS", "0")))
targets = {"prepare": "data/D_0", "train": f"models/M_{k}", "measure": f"metrics/{k}.json", "report": "report/summary.json"}
path = pathlib.Path(targets[name])
path.parent.mkdir(parents=True, exist_ok=True)
content = {"k": k, "seed": value["seed"], "condition_drop": value["condition_drop"]}
content |= {"fid": value["cfg"]} if name == "measure" else {}
path.write_text(json.dumps({"FID": value["cfg"], "FID_1": 1.0} if name == "report" else content))
with open(os.environ["TALLY"], "a") as tally:
    tally.write(f"end {sys.argv[1]}\\n")
"""

IGNORED = "/data/D_*\n/models/\n/metrics/\n/logs/\n/scratch/\n"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def new_project(folder: Path) -> Path:
    """A Git and DVC project, committed."""
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    for name, text in {"dvc.yaml": DVC_YAML, "stage.py": STAGE, ".gitignore": IGNORED, "sweeps/s.yaml": SWEEP}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "--quiet")
    git(folder, "config", "user.name", "Test")
    git(folder, "config", "user.email", "test@example.com")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=folder, check=True)
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "start")
    return folder


SWEEP = """\
title: a sweep
iterations: 1
arms:
  one: {cfg: 1.0}
  two: {cfg: 2.0}
  broken: {cfg: 99.0}
  long: {cfg: 1.0, iterations: 2}
"""


def add_remotes(project: Path) -> None:
    """A bare Git remote and a folder for DVC, beside the project; everything in it is committed and sent."""
    git(project, "init", "--quiet", "--bare", str(project.parent / "origin.git"))
    git(project, "remote", "add", "origin", str(project.parent / "origin.git"))
    add_dvc_remote(project, str(project.parent / "remote"))
    git(project, "push", "--quiet", "origin", "HEAD")


def add_dvc_remote(project: Path, url: str) -> None:
    command = [sys.executable, "-m", "dvc", "remote", "add", "--quiet", "--default", "shared", url]
    subprocess.run(command, cwd=project, check=True)
    git(project, "config", "user.name", "Test")
    git(project, "config", "user.email", "test@example.com")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "remote")


def states(chains: list[Chain]) -> dict[str, str]:
    """{chain: its state}, in the current folder."""
    return {one.name: one.state for one in chain_status.statuses_of(Path(), chains)}


def job_of(chain: Chain) -> str:
    """Slurm's job of a chain that was submitted from the current folder."""
    progress = progress_files.read(Path(), chain)
    assert progress is not None
    return progress.job


@contextmanager
def imported_stages(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Import what the pipeline's own stages need once."""
    if not (project / "pipeline").is_dir():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        monkeypatch.setenv(fork_client.SOCKET, f"{folder}/socket")
        server = subprocess.Popen([sys.executable, "-m", "pipeline.cli.fork_server", f"{folder}/socket"], cwd=project)
        try:
            while not Path(folder, "socket").exists():
                assert server.poll() is None
                time.sleep(0.1)
            yield
        finally:
            server.kill()
            server.wait()
