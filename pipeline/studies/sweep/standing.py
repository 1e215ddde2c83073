"""How far the chains of a sweep are: from their experiments, their notes, their logs, or from the Git remote alone."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.studies.sweep import local, notes, slurm, slurm_state, stages, worktree
from pipeline.studies.sweep.notes import Note
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.running import measured, read_log, tail
from pipeline.versioning.git import git

ENDED = ("done", "failed", "stopped", "cancelled")


@dataclass(frozen=True)
class Standing:
    """`state` is one of a note's, or waiting: nobody runs or queues the chain. `stage` is DVC's name, or what it waits for.

    `rerun` is the command that runs the chain again, for one that failed, stopped or was cancelled.
    """

    name: str
    arm: str
    seed: int
    state: str
    iterations: int
    k: int = 0
    stage: str = ""
    job: str = ""
    fid: Mapping[str, float] = field(default_factory=dict)
    seconds_left: float | None = None
    detail: str = ""
    rerun: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def fid_of(self, k: int) -> float | None:
        return self.fid.get(str(k))


JobStates = Mapping[str, str] | None
"""Slurm's word for every job of the user's that it knows of; None: there is none to ask."""


def standings(clone: Path, chains: list[Chain], remote: str = "") -> list[Standing]:
    """Of every chain; the Git remote is asked when this clone has no experiment and no note of one of them."""
    jobs = slurm_state.job_states(note.job for chain in chains if (note := notes.read(clone, chain)) and note.job)
    known = [standing(clone, chain, jobs) for chain in chains]
    if any(one.state == "waiting" for one in known) and remote in git(clone, "remote").splitlines():
        with suppress(UserError):  # offline: what is known here is still true
            notes.fetch(clone, chains[0].sweep, remote)
        known = [standing(clone, chain, jobs, remote) for chain in chains]
    return known


def standing(clone: Path, chain: Chain, jobs: JobStates, remote: str = "") -> Standing:
    """Where a chain is. `remote` is the Git remote whose notes have been fetched."""
    blank = Standing(chain.name, chain.arm, chain.seed, "waiting", chain.params.last)
    experiment = worktree.find(clone, chain)
    if experiment is not None:
        fids = _saved_fids(clone, experiment.commit, chain)
        return replace(blank, state="done", k=chain.params.last, fid=fids)
    note = notes.read(clone, chain)
    if note is not None:
        return _here(clone, chain, note, jobs, blank)
    note = notes.fetched(clone, chain, remote) if remote else None
    return _noted(chain, note, blank) if note is not None else blank


def _saved_fids(clone: Path, commit: str, chain: Chain) -> dict[str, float]:
    """FID_1 and FID_K, which the summary of an experiment has."""
    summary = json.loads(git(clone, "show", f"{commit}:{Layout().summary}"))
    found = {str(chain.params.last): summary.get("FID"), "1": summary.get("FID_1")}
    return {k: float(value) for k, value in found.items() if value is not None}


def _noted(chain: Chain, note: Note, blank: Standing) -> Standing:
    left = None if note.seconds_left is None else max(0.0, note.updated + note.seconds_left - time.time())
    known = replace(
        blank, state=note.state, k=note.k, stage=note.stage, job=note.job, fid=note.fid, detail=note.detail,
        seconds_left=left if note.state == "running" else None,
    )  # fmt: skip
    if note.state not in ("failed", "stopped", "cancelled"):
        return known
    return replace(known, rerun=chain.rerun() + (" --executor slurm" if note.job else ""))


def _here(clone: Path, chain: Chain, note: Note, jobs: JobStates, blank: Standing) -> Standing:
    """From a note of this clone; where it is not the last word, from the job, the worktree and the log as well."""
    if note.state == "done":  # and its experiment is gone
        return blank
    state = _now(note, jobs)
    if state not in ("running", "queued"):
        detail = note.detail if note.detail or state == "cancelled" else _last_words(clone, chain, note)
        return _noted(chain, replace(note, state=state, detail=detail), blank)
    if state == "queued":
        return _noted(chain, replace(note, state=state, stage=""), blank)
    folder = Path(note.worktree)
    fid = {str(k): value for k, value in measured(Layout(folder), chain.params.last).items()}
    known = _noted(chain, replace(note, state=state), replace(blank))
    if not (folder / "dvc.yaml").is_file():
        return known
    log = read_log(clone / notes.log_file(chain))
    place = stages.position(log, stages.names(folder, chain.params))
    last = log.rstrip().rpartition("\n")[2]
    stage = place.stage or (last if last.startswith("waiting for ") else "")
    return replace(
        known, stage=stage, fid=fid, k=max(map(int, fid), default=0), seconds_left=stages.seconds_left(clone, place.left)
    )


def _last_words(clone: Path, chain: Chain, note: Note) -> str:
    """The end of the chain's log; of what its job wrote, where it never came to the chain."""
    log = clone / notes.log_file(chain)
    output = clone / slurm.output_file(chain.sweep, note.job)
    return tail(log if read_log(log).strip() or not note.job else output)


def _now(note: Note, jobs: JobStates) -> str:
    """The state of a chain whose note says that it is under way: notes of killed processes are never rewritten."""
    if note.state not in ("running", "queued"):
        return note.state
    if not note.job:
        return "stopped" if note.owner is not None and local.is_alive(note.owner) is False else note.state
    if jobs is None:
        return note.state
    if note.job not in jobs:
        return "stopped"
    return "queued" if jobs[note.job] == "PENDING" else "running"


def all_ended(standings: list[Standing]) -> bool:
    """Whether watching longer would show nothing new."""
    return not any(one.state in ("running", "queued") for one in standings)
