"""A submodule that is not checked out stays in the commits of experiments, wherever DVC runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.versioning.submodules import keep_submodules
from project import ROOT

PIN = "ae72efb92babe89ff8e70f057e42db68440e8d61"
OTHER = "1111111111111111111111111111111111111111"
STAGES = """stages:
  ours:
    cmd: python -m pipeline report --help > out
    params: [cfg]
    outs: [out]
  count:
    cmd: wc params.yaml > count
    deps: [out]
    metrics: [{count: {cache: false}}]
"""


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def entries(folder: Path, revision: str) -> list[str]:
    lines = run(folder, "git", "ls-tree", "-r", revision).splitlines()
    return [f"{line.split()[2]} {line.split()[3]}" for line in lines if line.startswith("160000")]


def experiment(folder: Path, name: str) -> str:
    return run(folder, "git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two submodules, neither of them checked out."""
    root = tmp_path_factory.mktemp("submodules")
    shutil.copy(ROOT / "params.yaml", root)
    (root / ".gitmodules").write_text((ROOT / ".gitmodules").read_text() + '[submodule "b"]\n\tpath = more/b\n\turl = ../b\n')
    (root / "dvc.yaml").write_text(STAGES)
    (root / ".gitignore").write_text("/out\n")
    for name in ("vendor/sd-scripts", "more/b"):
        (root / name).mkdir(parents=True)
    for words in (["init", "--quiet"], ["config", "user.name", "T"], ["config", "user.email", "t@example.com"]):
        run(root, "git", *words)
    run(root, sys.executable, "-m", "dvc", "init", "--quiet")
    run(root, "git", "add", "-A")
    for pin, name in ((PIN, "vendor/sd-scripts"), (OTHER, "more/b")):
        run(root, "git", "update-index", "--add", "--cacheinfo", f"160000,{pin},{name}")
    run(root, "git", "commit", "--quiet", "-m", "start")
    return root


BOTH = [f"{OTHER} more/b", f"{PIN} vendor/sd-scripts"]


def test_in_a_copy_plain_dvc_keeps_them(project: Path) -> None:
    run(project, sys.executable, "-m", "dvc", "exp", "run", "--temp", "-S", "cfg=2.5", "--name", "copied")
    assert entries(project, experiment(project, "copied")) == BOTH
    assert keep_submodules(project, "copied") == []


def test_what_plain_dvc_loses_in_the_work_tree_is_given_back(project: Path) -> None:
    run(project, sys.executable, "-m", "dvc", "exp", "run", "-S", "cfg=3.5", "--name", "plain")
    run(project, "git", "checkout", "--quiet", "--", "params.yaml")
    assert entries(project, experiment(project, "plain")) == []
    assert keep_submodules(project) == ["plain"]
    assert entries(project, experiment(project, "plain")) == BOTH
    assert keep_submodules(project) == []


def test_a_submodule_that_an_experiment_removes_itself_stays_removed(project: Path) -> None:
    """Its line in .gitmodules is gone too."""
    head = run(project, "git", "rev-parse", "HEAD")
    index = {"GIT_INDEX_FILE": str(project / ".git/other-index")}
    subprocess.run(["git", "read-tree", head], cwd=project, env=os.environ | index, check=True)
    removal = ["git", "update-index", "--force-remove", "more/b", ".gitmodules"]
    subprocess.run(removal, cwd=project, env=os.environ | index, check=True)
    tree = subprocess.check_output(["git", "write-tree"], cwd=project, env=os.environ | index, text=True).strip()
    commit = run(project, "git", "commit-tree", "-p", head, "-m", "without", tree)
    run(project, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/without", commit)
    keep_submodules(project, "without")
    assert entries(project, experiment(project, "without")) == [f"{PIN} vendor/sd-scripts"]
