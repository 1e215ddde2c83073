"""A project of stand-in stages, and what may be asked of it at any time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.chain.params import STAGE_PARAMS
from pipeline.versioning.dvc_lock import read_lock
from pipeline.versioning.hashes import digest_bytes, folder_md5
from project import ROOT
from test_chain import environment, git

STAND_IN = Path(__file__).with_name("stand_in.py")
MODULE = "extensions/stand_in.py"
STAGES = {"train@1": "models/M_1", "sample@1": "data/D_1", "report": "report"}


@dataclass
class Project:
    """A clone at `root`, with processes that run in it."""

    root: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str, program: str = "pipeline") -> subprocess.Popen[bytes]:
        """Start `redifine WORDS`, or DVC; what it says goes into a log of its number."""
        with (self.root / f"../log{len(self.started)}").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", program, *words], cwd=self.root, stdout=log, stderr=subprocess.STDOUT,
                env=environment() | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        self.started.append(process)
        return process

    def said(self, process: subprocess.Popen[bytes]) -> str:
        process.wait(300)
        return (self.root / f"../log{self.started.index(process)}").read_text(errors="replace")

    def redifine(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        said = self.said(process)
        return process.returncode, said

    def wait_for(self, what: Callable[[], Any], seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < until, [(self.root / f"../log{i}").read_text() for i in range(len(self.started))]
            time.sleep(0.02)

    def begun(self, stage: str) -> bool:
        """Whether a stage computes, or has."""
        return (self.root / "begun" / stage).exists()

    def set(self, key: str, value: str) -> None:
        """Write a value into params.yaml as an editor does."""
        path = self.root / "params.yaml"
        lines = [f"{key}: {value}" if line.startswith(f"{key}:") else line for line in path.read_text().splitlines()]
        new = path.with_name("params.yaml~")
        new.write_text("\n".join(lines) + "\n")
        new.replace(path)

    def computed(self) -> Counter[str]:
        """How often each stage was computed, by its name and all that it read."""
        log = self.root / "computed.log"
        return Counter(log.read_text().splitlines()) if log.exists() else Counter()

    def untruths(self) -> list[str]:
        """What dvc.lock says of a stage and its output denies."""
        wrong = []
        for name, entry in read_lock(self.root).items():
            if name not in STAGES:
                continue
            record = json.loads((self.root / STAGES[name] / "record.json").read_text())
            wrong += [f"{name}: {key}" for key, value in record["params"].items() if entry.params[key] != value]
            for item in entry.deps:
                read = {path: digest_bytes(text.encode()).md5 for path, text in record["inputs"].items()}
                inside = {path.removeprefix(f"{item.path}/"): md5 for path, md5 in read.items()}
                told = digest_bytes(record["module"].encode()).md5 if item.path == MODULE else folder_md5(inside)
                wrong += [f"{name}: {item.path}"] if item.md5 != told else []
        return wrong

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()


def new_project(folder: Path, seconds: float = 2.0) -> Project:
    """A clone with D_0, in which nothing has run: M_1 from D_0, D_1 from M_1, the report."""
    root = folder / "clone"
    for place in ("data/D_0", "extensions", "begun", "raw"):
        (root / place).mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", root)
    shutil.copy(ROOT / ".dvcignore", root)
    (root / "data/D_0/a.txt").write_text("drawn by hand\n")
    (root / MODULE).write_text("# the first text\n")
    (root / "seconds").write_text(str(seconds))
    (root / ".gitignore").write_text(
        "/begun/\n/computed.log\n/seconds\n/held\n/scratch/\n/logs/\n/models/M_1\n/data/D_1\n/report\n"
    )
    deps = {"train": ["data/D_0"], "sample": ["models/M_1"], "report": ["data/D_1"]}
    outs = {"train": "models/M_1", "sample": "data/D_1", "report": "report"}
    stages = {
        kind: {
            "cmd": f"{sys.executable} {STAND_IN} {kind}", "deps": [*deps[kind], MODULE], "params": [*STAGE_PARAMS[kind]],
            "outs": [outs[kind]],
        }
        for kind in outs
    }  # fmt: skip
    for kind in ("train", "sample"):
        stages[kind] = {"foreach": {"1": {"prev": 0}}, "do": stages[kind]}
    (root / "dvc.yaml").write_text(json.dumps({"stages": stages}, indent=1))  # JSON is YAML
    for arguments in (["init", "--quiet"], ["config", "user.name", "A"], ["config", "user.email", "a@example.com"]):
        git(root, *arguments)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=root, env=environment(), check=True)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n    remote = here\n[cache]\n    type = hardlink,copy\n")
    (root / ".dvc/config").open("a").write(f"['remote \"here\"']\n    url = {folder / 'store'}\n")
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "start")
    return Project(root)


HOLD = """
import sys, time
from pathlib import Path
from dvc.repo import Repo
with Repo(".").lock:
    Path("held").write_text("")
    time.sleep(float(sys.argv[1]))
"""
"""A command of DVC that has its lock for so many seconds, as a push to a slow disk."""


def hold_lock(project: Project, seconds: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(seconds)], cwd=project.root)
    project.started.append(process)
    (project.root / f"../log{len(project.started) - 1}").write_text("")
    return process
