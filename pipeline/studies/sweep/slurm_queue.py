"""What Slurm says of jobs: which queue or run, and which one this process belongs to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from pipeline.studies.sweep import local
from pipeline.studies.sweep.locks import LockOwner

REQUEUE_STATUS = 85
"""Exit status of a job that asks to be requeued."""

_TIMEOUT_SECONDS = 60.0
_RUNNING = frozenset({"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"})


def run_slurm(*command: str) -> subprocess.CompletedProcess[str] | None:
    """Return what a command of Slurm answers; None where there is no such command, or no answer in time."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None


def job_states(jobs: Iterable[str]) -> dict[str, str] | None:
    """Return {job: Slurm's state} of those that queue or run; None where Slurm cannot be asked."""
    wanted = sorted(set(jobs))
    if not wanted:
        return {}
    done = run_slurm("squeue", "--noheader", "--array", "--format=%i|%T", f"--jobs={','.join(wanted)}")
    if done is None:
        return None
    if done.returncode:  # one job that Slurm has forgotten is an error, one of several is not
        return {} if "Invalid job id" in done.stderr else None
    return dict(line.split("|", 1) for line in done.stdout.split() if "|" in line)


def own_job() -> str:
    """Return the job that this process belongs to: 12_3 in an array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]


def is_alive(owner: LockOwner, own: str) -> bool | None:
    """Return whether the job that holds a lock still runs. One of the name of `own` is the same job before it was requeued."""
    if not owner.job:
        return local.is_alive(owner)
    if owner.job == own:
        return False
    states = job_states([owner.job])
    return None if states is None else states.get(owner.job) in _RUNNING
