"""A small chain whose stages run in forks, one by one, with or without faults; and what may be seen of it at any time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.files import sha256_file
from survival.preload import Action, Faults, Kind
from test_chain import environment, new_project

STAGES: dict[str, tuple[list[str], list[str]]] = {
    "prepare": (["prepare"], ["data/D_0", "data/prompts.jsonl", "data/T_0.jsonl", "models/M_0"]),
    "reference": (["measure", "--k", "0"], ["features/0.safetensors", "metrics/0.json"]),
    "reference_analysis": (["analyse", "--k", "0"], ["analysis/0.json", "analysis/0.safetensors"]),
    "curate": (["curate", "--k", "1"], ["data/T_1.jsonl"]),
    "train": (["train", "--k", "1"], ["models/M_1"]),
    "sample": (["sample", "--k", "1"], ["data/D_1", "traces/1.safetensors"]),
    "measure": (["measure", "--k", "1"], ["features/1.safetensors", "metrics/1.json"]),
    "analyse": (["analyse", "--k", "1"], ["analysis/1.json", "analysis/1.safetensors"]),
    "report": (["report"], ["report/index.html", "report/summary.json", "plots"]),
}
"""{stage: (arguments of the command line, outputs)}, in an order in which they can run."""


@dataclass
class Ended:
    """How a command ended: its exit status (below 0: the signal's number) and all that it said."""

    status: int
    said: str


@dataclass
class Workshop:
    """A project in which every stage has run, undisturbed; and a process that runs stages in forks."""

    project: Path
    faults: Faults
    server: subprocess.Popen[str]
    undisturbed: dict[str, str] = field(default_factory=dict)

    def run(self, arguments: list[str]) -> Ended:
        output = self.project.parent / "output.txt"
        request = {"arguments": arguments, "folder": str(self.project), "output": str(output)}
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return Ended(int(self.server.stdout.readline()), output.read_text(errors="replace"))

    def run_whole(self, stage: str) -> None:
        """Run a stage without faults, as DVC does: its outputs are removed first. It must succeed."""
        self.remove(stage)
        self.faults.arm(Action.COUNT, Kind(0))
        ended = self.run(STAGES[stage][0])
        assert ended.status == 0, ended.said

    def remove(self, stage: str) -> None:
        for name in STAGES[stage][1]:
            remove(self.project / name)

    def operations(self, stage: str, kinds: Kind) -> int:
        """How many operations of these kinds the stage does, undisturbed."""
        self.remove(stage)
        self.faults.arm(Action.COUNT, kinds)
        assert self.run(STAGES[stage][0]).status == 0
        return self.faults.count


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def visible(project: Path) -> dict[str, str]:
    """Hash of every file in the folders of outputs; names that begin with a dot are unfinished work, which nobody reads."""
    folders = ("data", "models", "traces", "features", "metrics", "analysis", "report", "plots")
    found = {}
    for folder in folders:
        for path in sorted((project / folder).rglob("*")):
            name = path.relative_to(project).as_posix()
            if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
                found[name] = sha256_file(path)
    return found


def wrong_files(project: Path, undisturbed: dict[str, str]) -> list[str]:
    """Files that can be seen and are not what an undisturbed run makes."""
    return [name for name, digest in visible(project).items() if undisturbed.get(name) != digest]


def partial_outputs(project: Path, undisturbed: dict[str, str], outputs: list[str]) -> list[str]:
    """Folders among the outputs that are there, but not with all of their files."""
    seen = visible(project)
    folders = [name for name in outputs if (project / name).is_dir()]
    return [name for name in folders if any(file.startswith(f"{name}/") and file not in seen for file in undisturbed)]


@contextmanager
def opened(folder: Path, model: Path, stages: list[str]) -> Iterator[Workshop]:
    """A workshop in `folder`, with these stages of one iteration done."""
    project = new_project(folder / "project", model, iterations=1)
    faults = Faults(project, folder / "faults.state")
    path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forks.py"))],
        env=environment() | faults.environment() | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    workshop = Workshop(project, faults, server)
    try:
        for stage in stages:
            workshop.run_whole(stage)
        workshop.undisturbed = visible(project)
        yield workshop
    finally:
        server.kill()
        server.communicate()
