"""Code that Git does not know is named before an experiment or a sweep starts, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.studies.sweep.worktree import check_committed
from pipeline.versioning.untracked_code import check_code_is_in_git, untracked_code


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def write(folder: Path, name: str, content: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("pipeline/__init__.py", "pipeline/sample/stage.py", "extensions/schedules/README.md", "params.yaml"):
        write(tmp_path, name)
    write(tmp_path, ".gitignore", "/scratch/\n__pycache__/\nlocal_*.py\n/raw/?*\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "--quiet", "-m", "start")
    return tmp_path


@pytest.mark.parametrize(
    "files",
    [
        {"extensions/schedules/mine.py": ""},
        {"pipeline/sample/helper.py": "", "pipeline/sample/stage.py": "from pipeline.sample import helper"},
        {"pipeline/new/__init__.py": "", "pipeline/new/inner/part.py": ""},
        {"extensions/policies/local_mine.py": ""},
        {"extensions/measures/table.csv": "1,2"},
        {"mathematics.py": "", "pipeline/sample/stage.py": "def late():\n    import mathematics"},
        {"tools/curves.py": "", "pipeline/sample/stage.py": "from tools.curves import bend"},
        {"extensions/schedules/größe.py": ""},
    ],
    ids=lambda files: next(iter(files)),
)
def test_code_that_git_does_not_know_is_named(project: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        write(project, name, content)
    missing = [name for name in files if name != "pipeline/sample/stage.py"]
    assert untracked_code(project) == sorted(missing)
    with pytest.raises(UserError) as error:
        check_code_is_in_git(project)
    assert str(error.value).startswith(f"{sorted(missing)[0]}") and "\n" not in str(error.value)
    git(project, "add", "-f", *missing)
    check_code_is_in_git(project)


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt", "plot.py", "raw/mine/a.png", "pipeline/__pycache__/x.cpython-311.pyc", "pipeline/sample/.stage.py.swp",
        "extensions/schedules/old.py~", "scratch/pipeline/x.py", "extensions/.ipynb_checkpoints/mine-checkpoint.py",
    ],
)  # fmt: skip
def test_what_no_run_reads_is_nobodys_business(project: Path, name: str) -> None:
    write(project, name, "import pipeline\n")
    check_code_is_in_git(project)


def test_a_sweep_names_it_too(project: Path) -> None:
    write(project, "extensions/schedules/mine.py")
    with pytest.raises(UserError, match="extensions/schedules/mine.py is not in Git"):
        check_committed(project)


@pytest.mark.parametrize("words", [["run"], ["run", "--queue"], ["run", "--temp", "-S", "cfg=2"]], ids=" ".join)
def test_the_command_line_refuses_before_dvc_does_anything(project: Path, words: list[str]) -> None:
    from project import ROOT

    (project / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    write(project, "dvc.yaml", "stages: {}\n")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "params")
    git(project, "config", "user.name", "T")
    git(project, "config", "user.email", "t@example.com")
    write(project, "extensions/schedules/mine.py")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "exp", *words], cwd=project, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(project.parent)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: extensions/schedules/mine.py is not in Git") and done.stderr.count("\n") == 1
