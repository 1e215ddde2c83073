"""This project's own graph of stages over stand-ins that take no time, in clones around one Git remote."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from pipeline.cli.application import main
from project import ROOT

IMAGES = 4
COMMANDS = main.commands


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dvc(folder: Path, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "TALLY": str(folder.parent / f"{folder.name}.tally"), "DVC_NO_ANALYTICS": "1"}
    words = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ran(folder: Path) -> list[str]:
    """The stages that have run in this clone so far, in their order."""
    tally = folder.parent / f"{folder.name}.tally"
    return tally.read_text().split() if tally.is_file() else []


def new_project(folder: Path, iterations: int = 3) -> Path:
    """A project with this one's dvc.yaml, in which each command is a stand-in; committed, with a bare `origin` beside it."""
    folder.mkdir(parents=True)
    _write_graph(folder)
    for name in ("pipeline", "models/miniature/clip", "raw"):
        (folder / name).mkdir(parents=True)
        (folder / name / "README.md").write_text("stand-in\n")
    for dependency in _modules(folder):
        path = folder / dependency
        (path if path.suffix else path / "stand-in").parent.mkdir(parents=True, exist_ok=True)
        (path if path.suffix else path / "stand-in").write_text("stand-in\n")
    for name in (".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(Path(__file__).with_name("stand_in.py"), folder / "stage.py")
    set_iterations(folder, iterations)
    git(folder, "init", "--quiet", "--initial-branch=main")
    identify(folder)
    commit(folder, "start")
    git(folder.parent, "clone", "--quiet", "--bare", str(folder), "origin.git")
    # Relative, so that a copy of the parent folder is a world of its own.
    git(folder, "remote", "add", "origin", "../origin.git")
    git(folder, "fetch", "--quiet")
    git(folder, "branch", "--quiet", "--set-upstream-to=origin/main")
    return folder


def identify(folder: Path) -> None:
    git(folder, "config", "user.name", "Test")
    git(folder, "config", "user.email", "test@example.com")


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", message)


def clone(project: Path, name: str) -> Path:
    """A fresh clone of the project's Git remote, beside it, with no DVC cache."""
    git(project.parent, "clone", "--quiet", str(project.parent / "origin.git"), name)
    identify(project.parent / name)
    return project.parent / name


def _write_graph(folder: Path) -> None:
    yaml = YAML()
    graph = yaml.load(ROOT / "dvc.yaml")
    del graph["plots"]
    for name, stage in graph["stages"].items():
        body = stage.get("do", stage)
        body["cmd"] = f"python stage.py {name}@${{key}}" if "do" in stage else f"python stage.py {name}"
    yaml.width = 200
    with (folder / "dvc.yaml").open("w") as file:
        yaml.dump(graph, file)


def _modules(folder: Path) -> set[str]:
    """Every dependency of the graph that is code."""
    graph = YAML(typ="safe").load(folder / "dvc.yaml")["stages"].values()
    return {dep for stage in graph for dep in stage.get("do", stage)["deps"] if dep.startswith(("pipeline/", "extensions/"))}


def set_iterations(folder: Path, last: int, **values: object) -> None:
    """Write params.yaml with iterations 1..last (keys quoted, as DVC needs them) and single values changed."""
    lines = (ROOT / "params.yaml").read_text().splitlines()
    before = lines[: lines.index("iterations:") + 1]
    after = [line for line in lines[lines.index("iterations:") + 1 :] if not line.startswith('  "')]
    chain = [f'  "{k}": {{prev: {k - 1}}}' for k in range(1, last + 1)]
    text = "\n".join([*before, *chain, *after]) + "\n"
    for key, value in values.items():
        old = next(line for line in text.splitlines() if line.startswith(f"{key}: "))
        text = text.replace(old, f"{key}: {value}")
    (folder / "params.yaml").write_text(text)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def redifine(folder: Path, *words: str) -> str:
    """What a command of this package prints, run in `folder`. Raises the UserError that the command line would print."""
    with inside(folder):
        result: Result = CliRunner().invoke(COMMANDS[words[0]], list(words[1:]))
    if result.exception is not None:
        raise result.exception
    return result.output


def finished_project(folder: Path) -> Path:
    """A project whose three iterations have run, recorded in Git and on its Git remote, with `../store` as DVC remote."""
    project = new_project(folder)
    dvc(project, "repro")
    redifine(project, "remote", "../store")
    commit(project, "run")
    git(project, "push", "--quiet")
    return project


def tree(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
