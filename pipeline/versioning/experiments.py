"""DVC experiments as Git holds them, commits under refs/exps/BASELINE/NAME: find them, send them to the Git remote and fetch
them from it.

Git's own command line is used: it knows the user's keys and helpers. `dvc exp push`, `dvc exp pull` and `dvc exp list` work
on the same references.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.versioning.git import git

_NAME = re.compile(r"[\w.+-]+")

UNFINISHED = ", to iteration "
"""In the subject of an experiment's commit while its chain runs."""


@dataclass(frozen=True)
class Experiment:
    """A saved chain: the commit that it started from, and its own; not complete while the chain runs."""

    reference: str
    baseline: str
    commit: str
    complete: bool = True


def experiments(clone: Path, name: str) -> list[Experiment]:
    """Return every experiment called `name`, of whichever commit."""
    lines = git(clone, "for-each-ref", "--format=%(refname) %(objectname) %(subject)", f"refs/exps/*/*/{name}").splitlines()
    rows = [line.split(maxsplit=2) for line in lines]
    return [Experiment(ref, "".join(ref.split("/")[2:4]), commit, UNFINISHED not in text) for ref, commit, text in rows]


def check_name(name: str) -> None:
    """Raise UserError for what cannot be an experiment's name."""
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot be an experiment's name (letters, digits, '.', '-', '_'); see 'dvc exp list'")


def local_experiment(root: Path, name: str) -> Experiment:
    """Return the experiment `name` of this clone. Raise UserError when there is none, or one on each of several commits."""
    found = experiments(root, name)
    if not found:
        raise UserError(f"there is no experiment {name!r} here; see 'dvc exp list --all-commits', or 'redifine ls'")
    return _only(found, name, git(root, "rev-parse", "HEAD"), "here")


def _only(found: list[Experiment], name: str, head: str, where: str) -> Experiment:
    of_head = [experiment for experiment in found if experiment.baseline == head]
    if len(of_head or found) > 1:
        commits = ", ".join(sorted(experiment.baseline[:7] for experiment in found))
        raise UserError(
            f"{name!r} is an experiment of several commits {where} ({commits}); check one of them out with 'git checkout' first"
        )
    return (of_head or found)[0]


def push_experiment(root: Path, experiment: Experiment, remote: str, force: bool) -> None:
    """Send the experiment's commit to the Git remote. Raise UserError when another one of that name is there."""
    there = {found.reference: found.commit for found in _remote_experiments(root, experiment.reference, remote)}
    if there.get(experiment.reference, experiment.commit) != experiment.commit and not force:
        name = experiment.reference.rpartition("/")[2]
        raise UserError(
            f"{remote} has another experiment {name!r}; give --force to replace it, or rename yours: 'dvc exp rename'"
        )
    plus = "+" if force else ""
    git(root, "push", "--quiet", remote, f"{plus}{experiment.commit}:{experiment.reference}")


def fetch_experiment(root: Path, name: str, remote: str, force: bool) -> Experiment:
    """Bring the experiment `name` from the Git remote; one that is here with the same commit stays.

    Raise UserError when it is nowhere, or is another one here and there.
    """
    found = _remote_experiments(root, f"refs/exps/*/*/{name}", remote) if has_remote(root, remote) else []
    if not found:
        return local_experiment(root, name)
    chosen = _only(found, name, git(root, "rev-parse", "HEAD"), f"on {remote}")
    here = {experiment.reference: experiment.commit for experiment in experiments(root, name)}
    if here.get(chosen.reference, chosen.commit) != chosen.commit and not force:
        raise UserError(f"{name!r} is another experiment here than on {remote}; give --force to replace the one here")
    git(root, "fetch", "--quiet", "--no-tags", remote, f"+{chosen.reference}:{chosen.reference}")
    return chosen


def _remote_experiments(root: Path, pattern: str, remote: str) -> list[Experiment]:
    lines = ask_remote(root, remote, "ls-remote", "--quiet", remote, pattern).splitlines()
    rows = [line.split() for line in lines]
    return [Experiment(reference, "".join(reference.split("/")[2:4]), commit) for commit, reference in rows]


def has_remote(root: Path, remote: str) -> bool:
    return remote in git(root, "remote").splitlines()


def ask_remote(root: Path, remote: str, *arguments: str) -> str:
    """Return the output of a Git command that asks a remote. Raise UserError when it is not there, or cannot be reached."""
    try:
        return git(root, *arguments)
    except UserError as error:
        if not has_remote(root, remote):
            raise UserError(
                f"there is no Git remote {remote!r}; add it with 'git remote add {remote} URL', or name one with --git-remote"
            ) from error
        raise UserError(f"the Git remote {remote} cannot be reached: {error}") from error
