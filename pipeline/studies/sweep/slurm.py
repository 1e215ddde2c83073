"""Chains as arrays of Slurm jobs, through submitit: is Slurm there, submit, ask, cancel."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.studies.sweep import progress_files, worktree
from pipeline.studies.sweep.chain_run import SweepContext
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.progress_files import LOGS, ChainProgress
from pipeline.studies.sweep.resources import Resources
from pipeline.studies.sweep.segments import segments_of
from pipeline.studies.sweep.slurm_queue import REQUEUE_STATUS, job_states, run_slurm

_SUBMITIT = "slurm"
_KILLED_STATUS = 137
_MOST_RESTARTS = 5
_MOST_TIMEOUTS = 1000
_WARNING_SECONDS = 120
"""So long before its time is up a job is told."""


def check(resources: Resources) -> None:
    """Raise UserError unless jobs can be submitted here, to the partition that the sweep names."""
    if shutil.which("sbatch") is None:
        raise UserError("there is no Slurm here (no sbatch); run this on a cluster's login node, or with --executor local")
    if find_spec("submitit") is None:
        raise UserError("submitit is not installed; run 'make env'")
    done = run_slurm("sinfo", "--noheader", "--format=%R")
    if done is None or done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1] if done else "no answer"
        raise UserError(f"Slurm does not answer ({reason}); try 'sinfo', or use --executor local")
    known = sorted(set(done.stdout.split()))
    if resources.partition and not set(resources.partition.split(",")) <= set(known):
        raise UserError(
            f"Slurm has no partition {resources.partition!r} (it has {', '.join(known)}); correct resources.partition"
        )


def output_file(sweep: str, job: str) -> Path:
    """Return the file that a job writes itself, before and beside the chain's log."""
    return LOGS / sweep / _SUBMITIT / f"{job}_0_log.out"


def submit(context: SweepContext, resources: Resources, chains: Sequence[Chain]) -> dict[str, str]:
    """Submit one job a chain; return {chain: job}. Chains that share M_1 with others wait for one job that computes it.

    Raises UserError with Slurm's own words when it refuses.
    """
    from pipeline.studies.sweep.slurm_job import ChainJob

    code = _code(context)
    for chain in chains:
        write_text(context.clone / progress_files.log_file(chain), "")
    leaders, followers = shared(chains)
    jobs: dict[str, str] = {}
    shared_job = ""
    if leaders:
        first = _array(
            context, resources, code, f"{chains[0].sweep}-shared", [ChainJob(context, chain, True) for chain in leaders]
        )
        shared_job = first[0].partition("_")[0]
    for group, after in ((followers, shared_job), ([chain for chain in chains if chain not in followers], "")):
        ids = _array(context, resources, code, chains[0].sweep, [ChainJob(context, chain) for chain in group], after)
        for chain, job in zip(group, ids, strict=True):
            jobs[chain.name] = job
            _note_queued(context.clone, chain, job, after)
    return jobs


def _note_queued(clone: Path, chain: Chain, job: str, shared_job: str) -> None:
    before = progress_files.read(clone, chain)
    if before is None or before.owner is None or before.owner.job != job:  # else it runs already
        progress_files.write(clone, chain, ChainProgress("queued", chain.digest, job=job, shared_job=shared_job))


def shared(chains: Sequence[Chain]) -> tuple[list[Chain], list[Chain]]:
    """Return a chain of every group with one M_1, which computes it first, and all chains of such groups, which wait for it.

    Without that they would wait for each other on GPUs of their own.
    """
    groups: dict[str, list[Chain]] = defaultdict(list)
    for chain in chains:
        groups[segments_of(chain.params)[1].lock_key].append(chain)
    several = [group for group in groups.values() if len(group) > 1]
    followers = {chain.name for group in several for chain in group}
    return [group[0] for group in several], [chain for chain in chains if chain.name in followers]


def _code(context: SweepContext) -> Path:
    """Return a worktree of the commit for jobs to run from: the clone may change while they queue. Without code: the clone."""
    folder = context.clone / worktree.FOLDER / f"code-{context.commit[:12]}"
    worktree.check_out(context.clone, folder, context.commit)
    return folder if (folder / "pipeline/studies/sweep").is_dir() else context.clone


def _array(
    context: SweepContext, resources: Resources, code: Path, name: str, calls: Sequence[Any], after: str = ""
) -> list[str]:
    """Submit an array of jobs that each make one of the calls; return their ids."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    if not calls:
        return []
    executor = SlurmExecutor(
        folder=context.clone / LOGS / calls[0].chain.sweep / _SUBMITIT, max_num_timeout=_MOST_TIMEOUTS,
        python=_python(context.clone, resources),
    )  # fmt: skip
    executor.update_parameters(**parameters(resources, code, name, after))
    try:
        with executor.batch():
            jobs = [executor.submit(call) for call in calls]
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        last = (str(getattr(error, "stderr", "") or error).strip().splitlines() or ["no message"])[-1]
        raise UserError(f"Slurm refused the jobs: {last}; correct 'resources' in the sweep file") from error
    return [str(job.job_id) for job in jobs]


def _python(clone: Path, resources: Resources) -> str | None:
    """Return the command that a job starts Python with; None: this interpreter."""
    if resources.container is None:
        return None
    words = ["apptainer", "exec", *(["--nv"] if resources.gpus else []), "--bind", str(clone), resources.container, "python"]
    return shlex.join(words)


def parameters(resources: Resources, code: Path, name: str, after: str = "") -> dict[str, Any]:
    """Return what submitit hands to sbatch."""
    given = {
        "job_name": name, "time": resources.minutes, "partition": resources.partition, "cpus_per_task": resources.cpus,
        "gpus_per_node": resources.gpus or None, "mem": f"{resources.memory * 1024:.0f}M" if resources.memory else None,
        "account": resources.account, "qos": resources.qos, "constraint": resources.constraint,
        "array_parallelism": resources.at_once, "dependency": f"afterany:{after}" if after else None,
    }  # fmt: skip
    return {key: value for key, value in given.items() if value is not None} | {
        "setup": [*_requeue_when_killed(), *_processes(resources), *resources.setup], "signal_delay_s": _WARNING_SECONDS,
        "stderr_to_stdout": True, "additional_parameters": {"requeue": True, "chdir": str(code)},
    }  # fmt: skip


def _processes(resources: Resources) -> list[str]:
    """Return shell lines that share one chain's training and sampling among its GPUs."""
    return [f"export REDIFINE_PROCESSES={resources.gpus}"] if resources.gpus > 1 else []


def _requeue_when_killed() -> list[str]:
    """Return shell lines that requeue a job when its processes were killed (no memory, a mistake), or when it asks for that.

    Not when it was cancelled: its state says so. Slurm itself requeues those of lost nodes and of preemption.
    """
    few = f'[ "${{SLURM_RESTART_COUNT:-0}}" -lt {_MOST_RESTARTS} ]'
    return [
        'job="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"; job="${job:-$SLURM_JOB_ID}"',
        f"again() {{ case $1 in {REQUEUE_STATUS}) ;; {_KILLED_STATUS}) {few} ;; *) false ;; esac",
        '[ $? -eq 0 ] && [ "$(squeue -h -j "$job" -o %T)" = RUNNING ] && scontrol requeue "$job"; }',
        "trap 'again $?' EXIT",
    ]


def cancel(clone: Path, chains: Iterable[Chain]) -> list[str]:
    """Cancel the jobs of the chains that queue or run; return the chains' names. Raises UserError when Slurm refuses."""
    noted = [(chain, progress) for chain in chains if (progress := progress_files.read(clone, chain)) and progress.job]
    states = job_states(job for _, progress in noted for job in (progress.job, progress.shared_job) if job) or {}
    if states:
        done = run_slurm("scancel", *sorted(states))
        if done is None or done.returncode:
            raise UserError(f"scancel failed ({done.stderr.strip() if done else 'no answer'}); try again")
    live = [(chain, progress) for chain, progress in noted if progress.job in states]
    for chain, progress in live:
        progress_files.write(
            clone, chain, ChainProgress("cancelled", chain.digest, job=progress.job, k=progress.k, fid=progress.fid)
        )
    return [chain.name for chain, _ in live]
