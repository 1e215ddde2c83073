"""What `redifine sweep run` and `cancel` do, one step after the other: every check comes before anything starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.studies.sweep import chain_status, local, progress_files, slurm, worktree
from pipeline.studies.sweep.chain_run import SweepContext
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.resources import Resources
from pipeline.versioning.dvc_repo import open_repo
from pipeline.versioning.experiment_checks import check_git
from pipeline.versioning.git import git

Say = Callable[[str], None]


class NoRemote(UserError):
    """One of the two remotes is not set, or takes nothing."""


def run_here(clone: Path, chains: list[Chain], workers: int, remote: str | None, say: Say, **modules: str) -> bool:
    """Run the chains on this machine; return whether all are there now. Raises UserError when the clone is not ready."""
    outcomes = local.run_chains(prepare(clone, remote, say, False, **modules), chains, workers, say)
    states = [outcome.state for outcome in outcomes]
    say(", ".join(f"{states.count(state)} {state}" for state in ("done", "skipped", "failed", "stopped")))
    for outcome in outcomes:
        if outcome.state == "failed":
            say(f"\n{outcome.chain.name} failed:\n{outcome.detail}\nrun it again: {outcome.chain.rerun()}")
    return not {"failed", "stopped"} & set(states)


def submit_to_slurm(
    clone: Path, file: Path, resources: Resources, chains: list[Chain], remote: str | None, say: Say, **modules: str
) -> None:
    """Submit the chains that are not there, and that no job computes. Raises UserError when something is not ready.

    Without remotes, too, unless `remote` is None: who sends jobs to a cluster counts on finding their results elsewhere.
    """
    slurm.check(resources)
    context = prepare(clone, remote, say, True, **modules)
    found = {one.name: one.state for one in chain_status.statuses_of(context.clone, chains)}
    busy = {name for name, state in found.items() if state in ("queued", "running")}
    there = {chain.name for chain in chains if worktree.find(context.clone, chain, context.commit)}
    todo = [chain for chain in chains if chain.name not in busy | there]
    jobs = slurm.submit(context, resources, todo) if todo else {}
    for name, job in jobs.items():
        say(f"{name}: job {job}")
    say(f"{len(jobs)} submitted, {len(there)} there already, {len(busy - there)} queued or running before; "
        f"watch them with 'redifine sweep status {file}'")  # fmt: skip


def chains_to_run(clone: Path, chains: Sequence[Chain]) -> list[Chain]:
    """Return the chains without an experiment of the clone's last commit: those that a run would run."""
    commit = git(clone, "rev-parse", "HEAD")
    return [chain for chain in chains if worktree.find(clone, chain, commit) is None]


def git_refusal(clone: Path) -> str | None:
    """Return why Git's state would keep a run from starting, for a dry run; None when it would not."""
    try:
        check_git(clone)
        worktree.check_committed(clone)
    except UserError as error:
        return str(error)
    return None


def prepare(clone: Path, remote: str | None, say: Say, must_send: bool = False, **modules: str) -> SweepContext:
    """Return the commit that would run and where its results go. Raises UserError when Git, DVC or a remote is not ready.

    `remote`: the Git remote for experiments; None: nothing is sent anywhere. `must_send`: it is an error when nothing can be.
    `modules`: `program` and `fork_server`, as `SweepContext` has them.
    """
    check_git(clone)
    commit = worktree.check_committed(clone)
    with open_repo(clone) as repo:
        context = SweepContext(clone.resolve(), commit, Path(repo.cache.local_cache_dir).resolve(), **modules)
    if remote is None:
        say("nothing is sent to the remotes")
        return context
    try:
        say(f"every iteration is sent to {_check_remotes(clone, remote)}")
    except NoRemote as error:
        if must_send:
            raise UserError(f"{error}; with --no-push, everything stays in this clone") from error
        say(f"{error}: experiments and their data stay in this clone")
        return context
    return replace(context, remote=remote)


def _check_remotes(clone: Path, git_remote: str) -> str:
    """Return the names of the remotes that get every iteration, for people.

    Both remotes are needed: an experiment without its data, or data that no experiment names, is of no use elsewhere.
    Raises NoRemote when one is missing, and UserError when the DVC remote is set and cannot be used: it is better to hear
    that before days of work.
    """
    from pipeline.provenance.share import transfer

    with open_repo(clone) as repo:
        if not repo.config["core"].get("remote"):
            raise NoRemote("no DVC remote is set ('make remote URL=...' sets one)")
        transfer.check_writable(repo, None)
        transfer.existing(repo, ["0" * 32], None)
        name = transfer.remote_name(repo, None)
    if git_remote not in git(clone, "remote").splitlines():
        raise NoRemote(f"there is no Git remote {git_remote!r} to send experiments to ('git remote add' adds one)")
    try:
        git(clone, "push", "--quiet", "--dry-run", git_remote, "HEAD:refs/redifine-sweeps/probe")
    except UserError as error:
        raise NoRemote(f"the Git remote {git_remote} takes no experiments ({error})") from error
    return f"{git_remote} and {name}"


def cancel(clone: Path, chains: Sequence[Chain]) -> list[str]:
    """End the chains, in Slurm and on this machine; return the lines to print. Raises UserError when none runs."""
    cancelled = slurm.cancel(clone, chains)
    process = local.running_process(clone)
    ours = [chain.name for chain in chains if _runs_in(clone, chain, process)]
    if process is not None and ours:
        os.kill(process, signal.SIGTERM)
    if not cancelled and not ours:
        raise UserError(f"no chain of {chains[0].file} runs or queues; see 'redifine sweep status {chains[0].file}'")
    return [f"{name}: cancelled" for name in cancelled] + [f"{name}: told to stop" for name in ours]


def _runs_in(clone: Path, chain: Chain, process: int | None) -> bool:
    progress = progress_files.read(clone, chain)
    return progress is not None and progress.state == "running" and progress.owner is not None and process == progress.owner.pid
