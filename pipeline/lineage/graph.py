"""The stages and files that led to one output of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.lineage.sources import WORKSPACE, Run
from pipeline.paths import Layout
from pipeline.verify.code import changed_code
from pipeline.verify.locked import FILE, Item, Stage, writers
from pipeline.verify.records import LINEAGE
from pipeline.verify.tracked import git

_LAYOUT = Layout()
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;#]+)", re.MULTILINE)
_PINS = Path("requirements.lock")


@dataclass(frozen=True)
class Software:
    """What ran the stages."""

    commit: str | None
    changed: tuple[str, ...]
    """Modules that are not those that ran, where that can be told."""
    sd_scripts: tuple[str, ...]
    """Commits of sd-scripts that trained the models; none for the builtin trainer."""
    machines: tuple[str, ...]
    """What the models were trained on: "NVIDIA A100, torch 2.13.0"."""
    libraries: dict[str, str]
    """{name: pinned version}"""


@dataclass(frozen=True)
class Lineage:
    """What led to `target`, a path of the run."""

    run: str
    target: str
    stages: tuple[Stage, ...]
    """First what ran first."""
    records: dict[str, dict[str, Any]]
    """{path: content} of lineage.json of each M_k and of M_0's base.json, as far as they are here."""
    software: Software

    @property
    def items(self) -> dict[str, Item]:
        """Every file and folder in it, by path; code left out."""
        return {item.path: item for stage in self.stages for item in (*inputs(stage), *stage.outs)}


def trace(run: Run, target: str, root: Path) -> Lineage:
    """Follow `target`, an output of the run, back to where the chain starts. Raises UserError when no stage wrote it."""
    stages = ancestors(run.stages, target)
    if not stages:
        raise UserError(f"{FILE} of {run.name} records no {target}; run 'dvc repro', or name an iteration that it has")
    records = _records(run, stages)
    trained = {record.get("sd_scripts_commit") for record in records.values()} - {None}
    machines = {_machine(record["made_on"]) for record in records.values() if isinstance(record.get("made_on"), dict)}
    changed = changed_code(root, {stage.name: stage for stage in stages}) if run.name == WORKSPACE else []
    software = Software(run.commit, tuple(changed), tuple(sorted(map(str, trained))), tuple(sorted(machines)), _libraries(run))
    return Lineage(run.name, target, tuple(stages), records, software)


def _machine(made_on: Mapping[str, Any]) -> str:
    libraries = [f"{name} {found}" for name, found in made_on.items() if name != "device"]
    return ", ".join([str(made_on.get("device")), *sorted(libraries)])


def ancestors(stages: Mapping[str, Stage], target: str) -> list[Stage]:
    """The stages that a path depends on, in an order in which they can run; none when no stage wrote it."""
    made_by = {item.path: stage for item, stage in writers(stages)}
    first = _writer(made_by, target)
    graph: dict[str, list[str]] = {}
    todo = [first] if first else []
    while todo:
        stage = todo.pop()
        before = [found for item in inputs(stage) if (found := _writer(made_by, item.path))]
        graph[stage.name] = [found.name for found in before]
        todo += [found for found in before if found.name not in graph]
    return [stages[name] for name in TopologicalSorter(graph).static_order()]


def _writer(made_by: Mapping[str, Stage], path: str) -> Stage | None:
    """The stage that wrote a path, or the folder that it lies in."""
    places = (path, *(parent.as_posix() for parent in Path(path).parents))
    return next((made_by[place] for place in places if place in made_by), None)


def inputs(stage: Stage) -> list[Item]:
    """What a stage read, but for code and for what its parameters leave unread (stages depend on it all the same)."""
    name, _, k = stage.name.partition("@")
    unread: set[str] = set()
    if name == "train" and stage.params.get("start_from", "base") == "base":
        unread = {f"models/M_{int(k) - 1}"} - {"models/M_0"}
    if name == "curate":
        policy = stage.params.get("training_set", "replace")
        unread |= {"features/"} if policy != "select" else set()
        unread |= {"data/T_"} if policy in ("replace", "mix") else set()
        unread |= {"data/D_0"} if policy in ("replace", "accumulate") and k != "1" else set()
    return [item for item in stage.deps if not item.is_code and not any(_is(item.path, start) for start in unread)]


def _is(path: str, start: str) -> bool:
    return path.startswith(start) if start.endswith(("/", "_")) else path == start


def _records(run: Run, stages: list[Stage]) -> dict[str, dict[str, Any]]:
    found = {}
    for item in (item for stage in stages for item in stage.outs if item.path.startswith("models/M_")):
        base = item.path == _LAYOUT.model(0).as_posix()
        path = _LAYOUT.base_record() if base else Path(item.path) / LINEAGE
        content = _optional(run, path)
        if content is not None:
            found[path.as_posix()] = content
    return found


def _optional(run: Run, path: Path) -> dict[str, Any] | None:
    """A JSON mapping of the run; None where it is not at hand: dvc.lock's hash of it is still there."""
    try:
        value = json.loads(run.files.read(path))
    except (UserError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _libraries(run: Run) -> dict[str, str]:
    try:
        return dict(_PIN.findall(run.files.read(_PINS).decode(errors="replace")))
    except UserError:
        return {}


def uncommitted(root: Path) -> bool:
    """Whether the work tree's record or code is not what HEAD holds."""
    return bool(git(root, "status", "--porcelain", "--", FILE, "pipeline", "params.yaml"))
