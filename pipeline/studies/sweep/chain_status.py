"""How far the chains of a sweep are: from their experiments, their progress files, their logs, or from the Git remote alone."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.studies.sweep import local, progress_files, slurm, slurm_queue, stages, worktree
from pipeline.studies.sweep.chain_run import measured_fids, read_log, tail
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.progress_files import ChainProgress
from pipeline.versioning.git import git


@dataclass(frozen=True)
class ChainStatus:
    """`state` is one of ChainProgress, or waiting: nobody runs or queues the chain. `stage` is DVC's, or what it waits for.

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

    def fid_of(self, k: int) -> float | None:
        return self.fid.get(str(k))


JobStates = Mapping[str, str] | None
"""Slurm's word for every job of the user's that it knows of; None: there is none to ask."""


def statuses_of(clone: Path, chains: list[Chain], remote: str = "") -> list[ChainStatus]:
    """Return the status of every chain; of one that this clone does not know, the Git remote is asked."""
    jobs = slurm_queue.job_states(
        progress.job for chain in chains if (progress := progress_files.read(clone, chain)) and progress.job
    )
    known = [status_of(clone, chain, jobs) for chain in chains]
    if any(one.state == "waiting" for one in known) and remote in git(clone, "remote").splitlines():
        with suppress(UserError):  # offline: what is known here is still true
            progress_files.fetch(clone, chains[0].sweep, remote)
        known = [status_of(clone, chain, jobs, remote) for chain in chains]
    return known


def status_of(clone: Path, chain: Chain, jobs: JobStates, remote: str = "") -> ChainStatus:
    """Return where a chain is. `remote` is the Git remote whose records have been fetched."""
    blank = ChainStatus(chain.name, chain.arm, chain.seed, "waiting", chain.params.last)
    experiment = worktree.find(clone, chain)
    if experiment is not None:
        fids = _saved_fids(clone, experiment.commit, chain)
        return replace(blank, state="done", k=chain.params.last, fid=fids)
    progress = progress_files.read(clone, chain)
    if progress is not None:
        return _from_this_clone(clone, chain, progress, jobs, blank)
    progress = progress_files.fetched(clone, chain, remote) if remote else None
    return _from_progress(chain, progress, blank) if progress is not None else blank


def _saved_fids(clone: Path, commit: str, chain: Chain) -> dict[str, float]:
    """Return FID_1 and FID_K, which the summary of an experiment has."""
    summary = json.loads(git(clone, "show", f"{commit}:{Layout().summary}"))
    found = {str(chain.params.last): summary.get("FID"), "1": summary.get("FID_1")}
    return {k: float(value) for k, value in found.items() if value is not None}


def _from_progress(chain: Chain, progress: ChainProgress, blank: ChainStatus) -> ChainStatus:
    left = None if progress.seconds_left is None else max(0.0, progress.updated + progress.seconds_left - time.time())
    known = replace(
        blank, state=progress.state, k=progress.k, stage=progress.stage, job=progress.job, fid=progress.fid,
        detail=progress.detail, seconds_left=left if progress.state == "running" else None,
    )  # fmt: skip
    if progress.state not in ("failed", "stopped", "cancelled"):
        return known
    return replace(known, rerun=chain.rerun() + (" --executor slurm" if progress.job else ""))


def _from_this_clone(clone: Path, chain: Chain, progress: ChainProgress, jobs: JobStates, blank: ChainStatus) -> ChainStatus:
    """Return the status by this clone's file; where that is not the last word, by job, worktree and log as well."""
    if progress.state == "done":  # and its experiment is gone
        return blank
    state = _state_now(progress, jobs)
    if state not in ("running", "queued"):
        detail = progress.detail if progress.detail or state == "cancelled" else _last_words(clone, chain, progress)
        return _from_progress(chain, replace(progress, state=state, detail=detail), blank)
    if state == "queued":
        return _from_progress(chain, replace(progress, state=state, stage=""), blank)
    folder = Path(progress.worktree)
    fid = {str(k): value for k, value in measured_fids(Layout(folder), chain.params.last).items()}
    known = _from_progress(chain, replace(progress, state=state), replace(blank))
    if not (folder / "dvc.yaml").is_file():
        return known
    log = read_log(clone / progress_files.log_file(chain))
    place = stages.position(log, stages.names(folder, chain.params))
    last = log.rstrip().rpartition("\n")[2]
    stage = place.stage or (last if last.startswith("waiting for ") else "")
    return replace(
        known, stage=stage, fid=fid, k=max(map(int, fid), default=0), seconds_left=stages.seconds_left(clone, place.left)
    )


def _last_words(clone: Path, chain: Chain, progress: ChainProgress) -> str:
    """Return the end of the chain's log; of what its job wrote, where it never came to the chain."""
    log = clone / progress_files.log_file(chain)
    output = clone / slurm.output_file(chain.sweep, progress.job)
    return tail(log if read_log(log).strip() or not progress.job else output)


def _state_now(progress: ChainProgress, jobs: JobStates) -> str:
    """Return the state of a chain that is under way by its file: a killed process never writes its own end."""
    if progress.state not in ("running", "queued"):
        return progress.state
    if not progress.job:
        return "stopped" if progress.owner is not None and local.is_alive(progress.owner) is False else progress.state
    if jobs is None:
        return progress.state
    if progress.job not in jobs:
        return "stopped"
    return "queued" if jobs[progress.job] == "PENDING" else "running"
