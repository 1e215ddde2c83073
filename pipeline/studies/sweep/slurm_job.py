"""One chain as a job of Slurm: what submitit calls on the node, and asks for a successor before the job must end."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from typing import TYPE_CHECKING

from pipeline.core.errors import UserError
from pipeline.studies.sweep import slurm_queue, worktree
from pipeline.studies.sweep.chain_run import ChainRun, SweepContext
from pipeline.studies.sweep.locks import LockOwner
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.worker import Worker

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

FOLDER = worktree.FOLDER / "jobs"


class ChainJob:
    """Runs a chain, or only what it shares with others, in a worktree that the same job finds again when it is requeued."""

    def __init__(self, context: SweepContext, chain: Chain, only_shared: bool = False) -> None:
        self.context, self.chain, self.only_shared = context, chain, only_shared
        self._worker: Worker | None = None

    def __call__(self) -> None:
        """Run to the end. A chain that fails ends the process with status 1, so that Slurm counts the job as failed."""
        self._worker = Worker(
            self.context.clone / FOLDER / self.chain.name, [], _threads(), self.context.fork_server, ignores_signals=True
        )
        job = slurm_queue.own_job()
        current = ChainRun(
            self.context,
            self._worker,
            self.chain,
            LockOwner.here(self.chain.name, job),
            lambda owner: slurm_queue.is_alive(owner, job),
        )
        if not self.only_shared:
            current.record_progress("running")
        try:
            problem = self._run(current)
        finally:
            self._worker.close()
        if problem:
            sys.exit(1)
        if not self.only_shared:
            current.clear()

    def _run(self, current: ChainRun) -> str:
        """Run, and record how it ended; return what went wrong."""
        try:
            problem = current.run(self.only_shared)
        except UserError as error:
            problem = str(error)
        except Exception:  # the progress file tells it; Slurm's own log of the job would hide it
            problem = traceback.format_exc()
        if self.only_shared:
            current.say(f"what {self.chain.name} shares with others " + ("failed" if problem else "is in the cache"))
            return problem
        current.record_progress("failed" if problem else "done", problem)
        return problem

    def checkpoint(self) -> DelayedSubmission:
        """End what runs, and go on from the cache in a requeued job. submitit calls this when Slurm says that the time is up.

        Where there is no `scontrol` to ask for that (in a container), the exit status asks the job's script.
        """
        from submitit.helpers import DelayedSubmission

        if self._worker is not None:
            self._worker.stop()
            self._worker.close()
        if shutil.which("scontrol") is None:
            sys.exit(slurm_queue.REQUEUE_STATUS)
        return DelayedSubmission(ChainJob(self.context, self.chain, self.only_shared))


def _threads() -> int:
    """Return the number of CPUs of this job."""
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(given) if given.isdecimal() else available
