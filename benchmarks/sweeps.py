"""What a sweep costs beside its stages: chains that differ only in cfg, on a tiny model, one after the other, sent to remotes.

    OMP_NUM_THREADS=1 python benchmarks/sweeps.py --chains 20 --iterations 1

Prints the stages that ran and their own seconds (logs/times.jsonl); then what is left for each stage, part by part, as time on
the wall and as CPU time. Where other work shares the machine, the wall's time tells of that work; the CPU time tells of this.
The parts' CPU time lacks what the fork server's forks do (stages, sending); the first line's has all of it.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click

from pipeline.studies.sweep import launch, plan, worktree
from pipeline.studies.sweep.chain_run import ChainRun

ROOT = Path(__file__).resolve().parents[1]
FILE = Path("sweeps/s.yaml")
Seconds = defaultdict[str, float]
PARTS = {
    "worktree": (ChainRun, "_start"),
    "dvc repro": (ChainRun, "_reproduce"),
    "experiment": (worktree, "save"),
    "push": (ChainRun, "_send"),
    "progress file": (ChainRun, "record_progress"),
}


def new_project(folder: Path, chains: int, iterations: int) -> Path:
    """A project with a tiny model, a sweep of so many guidance scales, and two remotes beside it."""
    sys.path.append(str(ROOT / "tests"))
    from test_chain import dvc, git
    from test_chain import new_project as tiny_project
    from tiny import write_tiny_model

    project = tiny_project(folder / "project", write_tiny_model(folder / "model"), iterations=iterations)
    (project / "sweeps").mkdir()
    values = ", ".join(f"{1 + i / 4}" for i in range(chains))
    (project / FILE).write_text(f"title: guidance\ngrid: {{cfg: [{values}]}}\n")
    git(project, "init", "--quiet", "--bare", str(folder / "origin.git"))
    git(project, "remote", "add", "origin", str(folder / "origin.git"))
    dvc(project, "remote", "add", "--quiet", "--force", "--default", "shared", str(folder / "remote"))
    for words in (("config", "user.name", "Test"), ("config", "user.email", "test@example.com"), ("add", "-A")):
        git(project, *words)
    git(project, "commit", "--quiet", "-m", "a sweep")
    return project


def cpu_seconds() -> float:
    """Of this process and its children that have ended; the stages are forks of a server that has not."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def clocked(function: Callable[..., Any], name: str, wall: Seconds, cpu: Seconds) -> Callable[..., Any]:
    """`function`, which adds the time that it takes to wall[name] and cpu[name]."""

    @functools.wraps(function)
    def timed(*arguments: Any) -> Any:
        started, used = time.monotonic(), cpu_seconds()
        try:
            return function(*arguments)
        finally:
            wall[name] += time.monotonic() - started
            cpu[name] += cpu_seconds() - used

    return timed


@contextmanager
def clocks() -> Iterator[tuple[Seconds, Seconds]]:
    """Seconds of each part of the chains that run in the block, on the wall and of the CPU."""
    wall: Seconds = defaultdict(float)
    cpu: Seconds = defaultdict(float)
    patches = [
        patch.object(owner, name, clocked(getattr(owner, name), part, wall, cpu)) for part, (owner, name) in PARTS.items()
    ]
    for one in patches:
        one.start()
    try:
        yield wall, cpu
    finally:
        for one in patches:
            one.stop()


@click.command()
@click.option("--chains", default=20, show_default=True)
@click.option("--iterations", default=1, show_default=True)
def main(chains: int, iterations: int) -> None:
    """Run the sweep, and print what it took."""
    with tempfile.TemporaryDirectory() as folder, clocks() as (wall, cpu):
        os.chdir(new_project(Path(folder), chains, iterations))
        started, used = time.monotonic(), cpu_seconds()
        complete = launch.run_here(Path(), plan.chains(FILE), 1, "origin", print, program="pipeline")
        whole, all_cpu = time.monotonic() - started, cpu_seconds() - used
        rows = [json.loads(line) for line in Path("logs/times.jsonl").read_text().splitlines()]
        os.chdir("/")
    own, counts = sum(row["seconds"] for row in rows), Counter(row["stage"] for row in rows)
    wall["dvc repro"] -= own
    print(f"all done: {complete}; ran {', '.join(f'{count} x {stage}' for stage, count in sorted(counts.items()))}")
    print(f"{whole:.0f} s, of which {own:.0f} s in {len(rows)} stages; beside them, for each stage:")
    print(f"  all {(whole - own) / len(rows):.2f} s; the CPU time of all, with the stages' own: {all_cpu / len(rows):.2f} s")
    for part in PARTS:
        print(f"  {part} {wall[part] / len(rows):.2f} s, {cpu[part] / len(rows):.2f} s of CPU time")


if __name__ == "__main__":
    main()
