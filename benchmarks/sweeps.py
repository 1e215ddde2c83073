"""What a sweep costs beside its stages: 20 chains that differ only in cfg, on a tiny model, one after the other.

    python benchmarks/sweeps.py [CHAINS]

Prints the stages that ran, their own seconds (logs/times.jsonl), and what is left of the wall time for each of them.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from pipeline.sweep import launch, plan

ROOT = Path(__file__).resolve().parents[1]
FILE = Path("sweeps/s.yaml")


def new_project(folder: Path, chains: int) -> Path:
    """A project with a tiny model and a sweep of so many guidance scales, one iteration each."""
    sys.path.append(str(ROOT / "tests"))
    from test_chain import git
    from test_chain import new_project as tiny_project
    from tiny import write_tiny_model

    project = tiny_project(folder / "project", write_tiny_model(folder / "model"), iterations=1)
    (project / "sweeps").mkdir()
    values = ", ".join(f"{1 + i / 4}" for i in range(chains))
    (project / FILE).write_text(f"title: guidance\niterations: 1\ngrid: {{cfg: [{values}]}}\n")
    for words in (("config", "user.name", "Test"), ("config", "user.email", "test@example.com"), ("add", "-A")):
        git(project, *words)
    git(project, "commit", "--quiet", "-m", "a sweep")
    return project


def main(chains: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(new_project(Path(folder), chains))
        started = time.monotonic()
        complete = launch.here(Path(), plan.chains(FILE), 1, None, print)
        wall = time.monotonic() - started
        rows = [json.loads(line) for line in Path("logs/times.jsonl").read_text().splitlines()]
        os.chdir("/")
    own = sum(row["seconds"] for row in rows)
    counts = Counter(row["stage"] for row in rows)
    print(f"all done: {complete}; ran {', '.join(f'{count} x {stage}' for stage, count in sorted(counts.items()))}")
    print(f"{wall:.0f} s, of which {own:.0f} s in {len(rows)} stages; beside them {(wall - own) / len(rows):.2f} s a stage")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
