"""Which stages an output depends on, and what each of them read."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

from pipeline.methods.policies import POLICIES
from pipeline.versioning.dvc_lock import PathEntry, StageEntry, all_outputs


def ancestors(stages: Mapping[str, StageEntry], target: str) -> list[StageEntry]:
    """Return the stages that a path depends on, in an order in which they can run; none when no stage wrote it."""
    made_by = {item.path: stage for item, stage in all_outputs(stages)}
    first = _writer(made_by, target)
    graph: dict[str, list[str]] = {}
    todo = [first] if first else []
    while todo:
        stage = todo.pop()
        before = [found for item in inputs(stage) if (found := _writer(made_by, item.path))]
        graph[stage.name] = [found.name for found in before]
        todo += [found for found in before if found.name not in graph]
    return [stages[name] for name in TopologicalSorter(graph).static_order()]


def _writer(made_by: Mapping[str, StageEntry], path: str) -> StageEntry | None:
    """Return the stage that wrote a path, or the folder that it lies in."""
    places = (path, *(parent.as_posix() for parent in Path(path).parents))
    return next((made_by[place] for place in places if place in made_by), None)


def inputs(stage: StageEntry) -> list[PathEntry]:
    """Return what a stage read, but for code and for what its parameters leave unread (stages depend on it all the same)."""
    name, _, k = stage.name.partition("@")
    unread: set[str] = set()
    if name == "train" and stage.params.get("start_from", "base") == "base":
        unread = {f"models/M_{int(k) - 1}"} - {"models/M_0"}
    if name == "curate":
        policy = POLICIES.get(stage.params.get("training_set", "replace"))
        places = {"features": "features/", "previous": "data/T_", "real": "data/D_0"}
        unread = {place for name, place in places.items() if policy is not None and name not in policy.inputs}
        unread -= {"data/D_0"} if k == "1" else set()
    return [item for item in stage.deps if not item.is_code and not any(_is(item.path, start) for start in unread)]


def _is(path: str, start: str) -> bool:
    return path.startswith(start) if start.endswith(("/", "_")) else path == start
