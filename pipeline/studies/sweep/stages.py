"""The stages of a chain: their names, which of them chains share, how long they take, and which one a log is at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.chain.params import Params
from pipeline.run.status import times
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.segments import FIRST_IMAGES, FIRST_MODEL, parameters_read_by, values_as_key

START = "=== "
"""Begins the line that a chain's log opens with, at each of its starts."""

_READS = {
    "prepare": ("prepare",), "reference": ("prepare", "measure"), "reference_analysis": ("prepare", "analyse"),
    "curate": FIRST_IMAGES, "train": FIRST_IMAGES, "sample": FIRST_IMAGES, "measure": (*FIRST_IMAGES, "measure"),
    "analyse": (*FIRST_IMAGES, "analyse"),
}  # fmt: skip
"""Kind of stage -> the stages whose parameters its result depends on; of any other, all parameters."""

_NAMED = re.compile(r"[Ss]tage '([^']+)'")
_RUNNING = re.compile(r"^Running stage '([^']+)'", re.MULTILINE)


def names(project: Path, params: Params) -> list[str]:
    """Return DVC's names of the chain's stages, as dvc.yaml in `project` has them, in the order of the file."""
    stages: dict[str, Any] = YAML(typ="safe").load(project / "dvc.yaml")["stages"]
    ks = range(1, params.last + 1)
    return [one for name, stage in stages.items() for one in ([f"{name}@{k}" for k in ks] if "foreach" in stage else [name])]


def distinct(project: Path, chains: Iterable[Chain]) -> list[str]:
    """Return the stages that all the chains need, one that several share once."""
    found = {(name, _key(name, chain)): name for chain in chains for name in names(project, chain.params)}
    return list(found.values())


def _key(stage: str, chain: Chain) -> str:
    """Return what the stage's result depends on: chains with equal keys compute it once."""
    kind, _, k = stage.partition("@")
    first = kind in ("curate", "train") and k == "1"
    reads = FIRST_MODEL if first else _READS.get(kind)
    return values_as_key(chain.params, parameters_read_by(reads) if reads else set(Params.model_fields))


@dataclass(frozen=True)
class Estimate:
    """GPU hours (hours, where a job has no GPU) of the stages whose kind was timed; `unknown` were not."""

    hours: float
    stages: int
    unknown: tuple[str, ...]


def estimate(project: Path, chains: Sequence[Chain], gpus: int) -> Estimate:
    """Return what the chains take, from the times that stages have taken in this project (logs/times.jsonl)."""
    wanted = distinct(project, chains)
    rest = times.remaining(wanted, times.read_times(project))
    return Estimate(rest.seconds / 3600 * max(gpus, 1), len(wanted), rest.unknown)


@dataclass(frozen=True)
class Position:
    """Where a chain is in its stages: the one that runs, and what is left, with it."""

    stage: str
    left: tuple[str, ...]


def position(log: str, stages: Iterable[str]) -> Position:
    """Return the position by what DVC has printed since the last start; no stage runs while DVC looks or a chain waits."""
    recent = log[max(log.rfind(f"\n{START}"), 0) :]
    named = _NAMED.findall(recent)
    running = _RUNNING.findall(recent)
    current = running[-1] if running and named[-1] == running[-1] else ""
    return Position(current, tuple(stage for stage in stages if stage == current or stage not in named))


def first_after(k: int, last: int) -> str:
    """Return the stage that follows the end of iteration k, for those who see a chain only once an iteration."""
    return "prepare" if not k else f"curate@{k + 1}" if k < last else "report"


def seconds_left(project: Path, left: Sequence[str]) -> float | None:
    """Return how long the stages take, by the times measured here; None when a kind of them was never timed.

    But for the report: it ends a chain once, so the first chain would never tell what is left, and takes little.
    """
    rest = times.remaining(left, times.read_times(project))
    return None if set(rest.unknown) - {"report"} else rest.seconds


def move_times(project: Path, folder: Path) -> None:
    """Move the times that stages took in the worktree `folder` to the project's."""
    source, target = folder / times.FILE, project / times.FILE
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8", errors="replace"))
        source.unlink()
