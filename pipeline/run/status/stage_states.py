"""The state of every stage of the chain, from DVC's own status."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json
from pipeline.versioning.run_at_work import written_outputs

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

State = Literal["done", "absent", "stale", "missing", "running", "waiting"]
SETTLED: frozenset[State] = frozenset({"done", "absent"})
"""States in which nothing is to be computed."""

_ATTEMPTS = 5
_ATTEMPT_SECONDS = 0.3


@dataclass(frozen=True)
class StageState:
    """`name` is DVC's, such as "train@2". `reasons` say what is missing or has changed; for "waiting", what it waits for.

    done: nothing to do. absent: it ran, and its outputs are not here, as after `redifine get K`. missing: it has not run.
    stale: an input or output has changed. running: DVC runs it now. waiting: nothing of its own has changed, but a stage that
    it builds on has yet to run.
    """

    name: str
    state: State
    reasons: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.name.partition("@")[0]

    @property
    def k(self) -> int | None:
        number = self.name.partition("@")[2]
        return int(number) if number.isdecimal() else None


def read_stages(root: Path) -> list[StageState]:
    """Return every stage in the order in which it would run. Raise UserError when DVC cannot read the project.

    No lock of DVC's is taken, which a run could need just then; what it writes at that moment is read once more.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    for attempt in range(_ATTEMPTS):
        try:
            with Repo(str(root)) as repo, _unlocked(repo):
                written = written_outputs(root)
                absent = {str(out) for stage in repo.index.stages for out in stage.outs if out.hash_info and not out.exists}
                own = {_name(stage): _own_state(stage, absent, written) for stage in _ordered(repo)}
                return mark_waiting(own, _upstream(repo))
        except (DvcException, OSError) as error:
            if attempt == _ATTEMPTS - 1:
                raise UserError(f"DVC cannot read the chain in {root}: {' '.join(str(error).split())}") from error
        time.sleep(_ATTEMPT_SECONDS)
    raise AssertionError


@contextmanager
def _unlocked(repo: Repo) -> Iterator[None]:
    """Have DVC take this project for locked while it only reads."""
    from dvc.lock import LockNoop

    repo.lock = LockNoop()
    with repo.lock:
        yield


def _ordered(repo: Repo) -> list[Stage]:
    """Return stages of dvc.yaml, dependencies first, and else as the file defines them."""
    import networkx

    place = {stage: i for i, stage in enumerate(repo.index.stages)}
    return list(networkx.lexicographical_topological_sort(repo.index.graph.reverse(), key=place.__getitem__))


def _upstream(repo: Repo) -> dict[str, set[str]]:
    """Return {stage: the stages whose outputs it reads}"""
    graph = repo.index.graph
    return {_name(stage): {_name(other) for other in graph.successors(stage)} for stage in graph}


def _name(stage: Stage) -> str:
    """As dvc.yaml has it; DVC's own addresses change with the working directory. A .dvc file has no name but its path."""
    return str(getattr(stage, "name", None) or stage.addressing)


def _own_state(stage: Stage, absent: Set[str], written: Mapping[str, str]) -> StageState:
    """What is to be said of a stage without looking at the states of others; `absent`: recorded outputs that are not here,
    `written`: those that a process writes now.
    """
    name = _name(stage)
    if any(out.fs_path in written for out in stage.outs):
        return StageState(name, "running")
    if any(_overlap(dep.fs_path, path) for dep in stage.deps for path in written):
        return StageState(name, "waiting", ("what it reads is being written",))
    # Without the note, in DVC's list of running processes, that this one reads: a run would end at it.
    status: list[str | dict[str, Any]] = next(iter(inspect.unwrap(type(stage).status)(stage).values()), [])
    if all(not out.hash_info for out in stage.outs):
        return StageState(name, "missing", ("not run yet",))
    return classify(name, status, absent)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}{os.sep}") or other.startswith(f"{one}{os.sep}")


def classify(name: str, status: list[str | dict[str, Any]], absent: Set[str] = frozenset()) -> StageState:
    """Return state and reasons of one stage from DVC's list of its changes.

    A list such as [{"changed deps": {"data/D_0": "modified", "params.yaml": {"cfg": "modified"}}}, "changed command"]. An input
    has not changed when it only lacks what is `absent`, recorded outputs that are not here.
    """
    changes: dict[str, str] = {}
    missing: list[str] = []
    for part in status:
        if isinstance(part, str):
            changes["its command" if part in ("changed command", "changed checksum") else part] = "changed"
            continue
        for what, entries in part.items():
            for path, change in entries.items():
                if what == "changed outs" and change in ("deleted", "not in cache"):
                    missing.append(path)
                elif not (what == "changed deps" and _lacks(path, change, absent)):
                    changes |= _named(path, change, "output " if what == "changed outs" else "")
    if changes:
        return StageState(name, "stale", tuple(f"{what} {change}" for what, change in changes.items()))
    if missing:
        return StageState(name, "absent", (f"{', '.join(missing)} not here: 'dvc checkout', else 'dvc pull'",))
    return StageState(name, "done")


def _lacks(path: str, change: Any, absent: Set[str]) -> bool:
    """Return whether an input is not here because it is, or lies in, an absent output; or differs because it holds one."""
    if change not in ("deleted", "modified"):
        return False
    inside = change == "deleted" and any(path == out or path.startswith(f"{out}/") for out in absent)
    return inside or any(out.startswith(f"{path}/") for out in absent)


def _named(path: str, change: Any, prefix: str) -> dict[str, str]:
    """Return {what: how it changed}; of a file of parameters, each parameter."""
    if isinstance(change, dict):
        return {str(name): "changed" if how == "modified" else str(how) for name, how in change.items()}
    return {f"{prefix}{path}": "changed" if change == "modified" else str(change)}


def mark_waiting(own: Mapping[str, StageState], upstream: Mapping[str, set[str]]) -> list[StageState]:
    """Turn what is settled into "waiting" downstream of what is not; `own` must have dependencies first."""
    found: dict[str, StageState] = {}
    for name, state in own.items():
        blocking = sorted(other for other in upstream.get(name, ()) if other in found and found[other].state not in SETTLED)
        waits = state.state in SETTLED and blocking
        found[name] = StageState(name, "waiting", (f"for {', '.join(blocking)}",)) if waits else state
    return list(found.values())


def read_fids(root: Path, stages: list[StageState]) -> dict[int, float]:
    """Return {k: FID_k} of every iteration that was measured, whether it is stale or not."""
    layout = Layout(root)
    ks = sorted({stage.k for stage in stages if stage.k is not None})
    return {k: read_json(layout.metrics(k), {"fid": int | float})["fid"] for k in ks if layout.metrics(k).is_file()}
