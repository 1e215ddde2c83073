"""Kill DVC itself in the middle of a file operation, on the real graph of stages over stand-ins that take no time."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.files import sha256_file
from project import ROOT
from survival.preload import Action, Faults, Kind, Where

OBJECT = re.compile(r"^[0-9a-f]{30}(\.dir)?$")
"""The name, below two more letters, of what is in DVC's cache; other names are unfinished."""


@dataclass
class Run:
    """A `dvc repro`, or another command, and how it ended."""

    status: int
    said: str


def environment(project: Path, faults: Faults) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "TALLY": str(project.parent / f"{project.name}.tally"),
        "DVC_NO_ANALYTICS": "1",
    }
    return os.environ | own | faults.environment()


def run(project: Path, faults: Faults, *command: str) -> Run:
    """Run `python -m COMMAND` under the faults."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=environment(project, faults), text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return Run(done.returncode, done.stdout)


def count_operations(project: Path, faults: Faults, *command: str) -> int:
    faults.arm(Action.COUNT, Kind.WRITES | Kind.REMOVALS, where=Where.OTHERS)
    done = run(project, faults, *command)
    assert done.status == 0, done.said
    return faults.count


def objects(cache: Path, linked_whole: bool = False) -> list[Path]:
    """What is in a DVC cache, or a folder remote, for DVC to use.

    DVC tries a reflink first, under the final name: where there are none, a kill right then leaves an empty file that is
    not write-protected. Such files DVC hashes before it uses them, and removes; our own commands make none (`linked_whole`).
    """
    files = [path for path in (cache / "files/md5").rglob("*") if path.is_file() and OBJECT.match(path.name)]
    return [path for path in files if linked_whole or path.stat().st_size or not path.stat().st_mode & 0o200]


def torn_objects(cache: Path, linked_whole: bool = False) -> list[str]:
    """Objects whose content is not what their name says."""
    return [path.name for path in objects(cache, linked_whole) if md5(path) != path.parent.name + path.stem]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def seen(project: Path) -> dict[str, str]:
    """Hash of every output file; unfinished work, whose name begins with a dot, is not looked at."""
    folders = ("data", "models", "traces", "features", "metrics", "analysis", "report", "plots")
    paths = [path for folder in folders for path in sorted((project / folder).rglob("*")) if path.is_file()]
    names = [path.relative_to(project).as_posix() for path in paths if not path.name.startswith(".")]
    return {name: sha256_file(project / name) for name in names}
