"""What must hold before runs may be compared, and what a reader must know."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.charts.numbers import counted
from pipeline.core.errors import UserError
from pipeline.studies.compare.runs import ComparedRun


def check_features(runs: Sequence[ComparedRun]) -> None:
    """Raise UserError when two runs were measured in different feature spaces: their FIDs share no scale."""
    known = [run for run in runs if run.features_of is not None]
    for run in known[1:]:
        if run.features_of != known[0].features_of:
            raise UserError(
                f"{known[0].name} and {run.name} were measured with different features ({known[0].features_of} against "
                f"{run.features_of}), so their FIDs share no scale and cannot stand in one figure; "
                f"compare runs of one feature_model, or measure one of them again"
            )


def warnings(runs: Sequence[ComparedRun]) -> list[str]:
    """Return sentences on chains that ended early, and on different numbers of images and iterations."""
    early = [
        f"{run.name} ended early: {counted(run.last, 'iteration')} of {run.planned} measured; its curves stop there."
        for run in runs
        if run.last < run.planned
    ]
    return early + _different_n(runs) + _different_last(runs)


def _different_n(runs: Sequence[ComparedRun]) -> list[str]:
    sizes = {run.name: int(n) for run in runs if (n := run.value("n", 1)) is not None}
    if len(set(sizes.values())) < 2:
        return []
    listed = ", ".join(f"{n} in {name}" for name, n in sizes.items())
    return [f"The runs have different numbers of images ({listed}): FID falls with that number, so compare them with care."]


def _different_last(runs: Sequence[ComparedRun]) -> list[str]:
    reached = sorted({run.last for run in runs})
    if len(reached) < 2:
        return []
    return [
        f"The chains have different lengths (K = {', '.join(map(str, reached))}): index K means each setting's last iteration."
    ]
