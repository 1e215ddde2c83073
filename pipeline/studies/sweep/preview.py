"""What a dry run prints: the arrays, every job's parameters, and the GPU hours by measured stage times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.run.status.text import duration
from pipeline.run.status.times import FILE
from pipeline.studies.sweep import slurm, stages
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.resources import Resources


def lines(project: Path, chains: Sequence[Chain], resources: Resources, on_slurm: bool) -> list[str]:
    """Return the lines of the dry run of `chains`."""
    if not chains:
        return ["every chain is there already"]
    printed = _arrays(project, chains, resources) if on_slurm else _group(project, f"{_chains(chains)} on this machine", chains)
    return [*printed, "", *_hours(project, chains, resources, on_slurm)]


def _chains(chains: Sequence[Chain]) -> str:
    return f"{len(chains)} chain" + ("" if len(chains) == 1 else "s")


def _arrays(project: Path, chains: Sequence[Chain], resources: Resources) -> list[str]:
    """Return what would be submitted, array by array."""
    leaders, followers = slurm.shared(chains)
    others = [chain for chain in chains if chain not in followers]
    limit = f", at most {resources.at_once} at a time" if resources.at_once else ""
    each = f"one a job{limit}; each {resources.describe()}"
    printed = []
    if leaders:
        names = ", ".join(chain.name for chain in leaders)
        printed.append(f"{_array(leaders)}: the M_1 that chains have in common, once for {names}; each {resources.describe()}")
        printed += _group(project, f"{_array(followers)}: {_chains(followers)} that wait for it, {each}", followers)
    return printed + (_group(project, f"{_array(others)}: {_chains(others)}, {each}", others) if others else [])


def _array(jobs: Sequence[Chain]) -> str:
    return f"array 0-{len(jobs) - 1}"


def _group(project: Path, title: str, chains: Sequence[Chain]) -> list[str]:
    return [title, *(line for i, chain in enumerate(chains) for line in _job(project, i, chain))]


def _job(project: Path, index: int, chain: Chain) -> list[str]:
    seconds = stages.seconds_left(project, stages.names(project, chain.params))
    alone = "" if seconds is None else f"   ({duration(seconds)} alone)"
    return [f"{index:4} {chain.name}{alone}", f"     {' '.join(chain.settings())}", f"     {chain.command()}"]


def _hours(project: Path, chains: Sequence[Chain], resources: Resources, on_slurm: bool) -> list[str]:
    found = stages.estimate(project, chains, resources.gpus if on_slurm else 0)
    unit = "GPU hours" if on_slurm and resources.gpus else "hours"
    if not found.hours:
        return [f"how long that takes is not known: no stage has ended here yet ({FILE}); run one of the chains first"]
    unknown = f", without {', '.join(found.unknown)}, which never ended here" if found.unknown else ""
    return [f"about {found.hours:.3g} {unit} for {found.stages} stages, shared ones once (from {FILE}){unknown}"]
