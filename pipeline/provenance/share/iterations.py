"""What iteration k is: the paths to fetch and to share, and what a dvc.lock records of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.versioning.dvc_lock import LOCK_FILE, PathEntry, StageEntry, all_outputs, read_lock, read_lock_at
from pipeline.versioning.leftovers import Leftovers, find_leftovers


def iteration_outputs(k: int) -> list[Path]:
    """Return what the stages of iteration k wrote: D_k, T_k, M_k, its traces, features, metrics and analysis."""
    layout = Layout()
    drawn = [layout.traces(k)] if k else []
    return [
        layout.images(k), layout.training_set(k), layout.model(k), *drawn, layout.features(k), layout.metrics(k),
        layout.analysis(k), layout.analysis_maps(k),
    ]  # fmt: skip


def outputs_to_fetch(k: int) -> list[Path]:
    """Return what `redifine get k` fetches: the outputs of k, the prompts P, M_0's record, D_0's metrics with the FID floor."""
    layout = Layout()
    return list(dict.fromkeys([*iteration_outputs(k), layout.prompts, layout.model(0), layout.metrics(0)]))


def outputs_to_share(k: int) -> list[Path]:
    """Return iteration k and all that it was made from: iterations 0..k, the prompts and M_0's record."""
    return list(dict.fromkeys(path for j in range(k + 1) for path in outputs_to_fetch(j)))


_IN_GIT = Layout().summary.as_posix()
"""The one output that is not in DVC's cache (`cache: false` in dvc.yaml)."""


@dataclass(frozen=True)
class ChainRecord:
    """The content of one dvc.lock; `name` is how messages call it."""

    name: str
    stages: Mapping[str, StageEntry]
    left: Leftovers | None = None
    """What an earlier, longer chain has left, which is no part of this one."""

    @cached_property
    def outputs(self) -> dict[str, PathEntry]:
        """Return what is in DVC's cache, by path."""
        return {out.path: out for out, _ in all_outputs(self.stages) if out.path != _IN_GIT}

    @property
    def iterations(self) -> list[int]:
        """Every k whose D_k and M_k are recorded, in order; 0 stands for D_0 and M_0's record."""
        layout = Layout()
        numbers = (path.partition("data/D_")[2] for path in self.outputs)
        found = sorted(int(number) for number in numbers if number.isdecimal())
        return [k for k in found if layout.model(k).as_posix() in self.outputs]

    def have(self, paths: Iterable[Path]) -> list[str]:
        """Return those of `paths` that are recorded."""
        return [path.as_posix() for path in paths if path.as_posix() in self.outputs]

    def check_iterations(self, wanted: Iterable[int]) -> None:
        """Raise UserError for a k that does not exist."""
        for k in wanted:
            if self.left and k in self.left.ks:
                raise UserError(f"iteration {k} is no part of the chain that params.yaml lists: {self.left}")
            if k not in self.iterations:
                known = f"0 to {self.iterations[-1]}" if self.iterations else "no iteration"
                raise UserError(
                    f"iteration {k} is not in {self.name}, which has {known}; "
                    "'git pull' brings what others recorded, 'dvc repro' runs what params.yaml lists"
                )

    def size(self, k: int) -> int:
        """Return bytes of what the stages of iteration k wrote."""
        return sum(self.outputs[path].size for path in self.have(iteration_outputs(k)))

    def stage_parameters(self, *stages: str) -> dict[str, Any]:
        """Return the parameters that the stages ran with, in one mapping; they share one params.yaml."""
        return {key: value for name in stages if name in self.stages for key, value in self.stages[name].params.items()}


def read_record(root: Path) -> ChainRecord:
    """Return what the work tree's dvc.lock records. Raise UserError when it is missing or damaged."""
    if not (root / LOCK_FILE).is_file():
        raise UserError(
            f"there is no {LOCK_FILE} in {root.resolve()}: nothing has run here yet; run 'dvc repro' or 'git pull' first"
        )
    return ChainRecord(LOCK_FILE, read_lock(root), find_leftovers(root))


def read_record_at(root: Path, commit: str, name: str) -> ChainRecord | None:
    """Return what a commit's dvc.lock records; None where it has none, or a damaged one."""
    with suppress(UserError):
        stages = read_lock_at(root, commit)
        return None if stages is None else ChainRecord(name, stages)
    return None
