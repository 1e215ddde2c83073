"""What a dry run prints: the array, every job's parameters, and the GPU hours by measured stage times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.status.times import FILE
from pipeline.status.words import duration
from pipeline.sweep import slurm, stages
from pipeline.sweep.plan import Chain
from pipeline.sweep.resources import Resources


def lines(project: Path, chains: Sequence[Chain], resources: Resources, on_slurm: bool) -> list[str]:
    """Every line of the dry run of `chains`."""
    head = _arrays(chains, resources) if on_slurm else [f"{_chains(len(chains))} on this machine"]
    jobs = [_job(project, i, chain) for i, chain in enumerate(chains)]
    return [*head, *(line for job in jobs for line in job), "", *_hours(project, chains, resources, on_slurm)]


def _chains(count: int) -> str:
    return f"{count} chain" + ("" if count == 1 else "s")


def _arrays(chains: Sequence[Chain], resources: Resources) -> list[str]:
    """What would be submitted."""
    leaders, _ = slurm.shared(chains)
    limit = f", at most {resources.at_once} at a time" if resources.at_once else ""
    array = f"array 0-{len(chains) - 1}: {_chains(len(chains))}, one a job{limit}; each {resources.words()}"
    if not leaders:
        return [array]
    first = f"before it, {len(leaders)} job" + ("" if len(leaders) == 1 else "s")
    return [array, f"{first} for the M_1 that chains have in common: {', '.join(chain.name for chain in leaders)}"]


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
