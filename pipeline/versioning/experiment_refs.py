"""Saved chains as DVC experiments: commits under refs/exps, of which Git alone knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.versioning.git import git

ON_ITS_WAY = ", to iteration "
"""In the subject of an experiment's commit while its chain runs."""


@dataclass(frozen=True)
class Experiment:
    """A saved chain: the commit that it started from, and its own; not whole while the chain is on its way."""

    reference: str
    baseline: str
    commit: str
    whole: bool = True


def experiments(clone: Path, name: str) -> list[Experiment]:
    """Every saved experiment called `name`, of whichever commit."""
    lines = git(clone, "for-each-ref", "--format=%(refname) %(objectname) %(subject)", f"refs/exps/*/*/{name}").splitlines()
    rows = [line.split(maxsplit=2) for line in lines]
    return [Experiment(ref, "".join(ref.split("/")[2:4]), commit, ON_ITS_WAY not in text) for ref, commit, text in rows]
