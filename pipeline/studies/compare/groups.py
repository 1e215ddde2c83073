"""Settings: runs whose parameters are equal but for the seed, a name that says how one differs from the others, and what must
hold before they may be compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.chain.params import STAGE_PARAMS, Params
from pipeline.charts.numbers import counted
from pipeline.charts.statistics import SeedMean, estimate
from pipeline.core.errors import UserError
from pipeline.methods.measures import MEASURES
from pipeline.studies.compare.runs import ComparedRun

NEVER_DIFFERS = ("title", "sample_batch", "shard_above", "shard_size")
"""Parameters that change no image and no measure."""

_ORDER = list(dict.fromkeys([*STAGE_PARAMS["sample"], *Params.model_fields]))
"""Parameters in the order in which a name lists them: the sampler's first, as in "cfg=7.5, condition_drop=0.2"."""

ParameterValues = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """Runs that are averaged, in the order of their seeds."""

    name: str
    runs: tuple[ComparedRun, ...]

    @property
    def last(self) -> int:
        """The largest K of its runs."""
        return max(run.last for run in self.runs)

    @property
    def full_length_runs(self) -> tuple[ComparedRun, ...]:
        """The runs that reached that K: only these have a say in what the end of the chain is like."""
        return tuple(run for run in self.runs if run.last == self.last)

    def at(self, metric: str, k: int) -> SeedMean | None:
        """Return the mean of a metric at k over the runs that have it."""
        return estimate(run.value(metric, k) for run in self.runs)

    def at_end(self, metric: str) -> SeedMean | None:
        return estimate(run.value(metric, run.last) for run in self.full_length_runs)

    @property
    def collapse_rate(self) -> SeedMean | None:
        return estimate(run.collapse_rate for run in self.full_length_runs)


def group_runs(
    runs: Sequence[ComparedRun], averaged: Iterable[str] = ("seed",), presets: Mapping[str, ParameterValues] | None = None
) -> list[Setting]:
    """Group runs that differ in the `averaged` parameters alone, in the order in which settings first appear.

    Runs that have an `arm` are grouped and named by it. `presets` maps a display name to the values that earn it.
    """
    left_out = {*averaged, *NEVER_DIFFERS}
    groups: dict[str, list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault(run.arm or _canonical(_defining_params(run, left_out)), []).append(run)
    values = [_defining_params(members[0], left_out) for members in groups.values()]
    names = setting_names(values, presets or {})
    return [
        Setting(members[0].arm or name, tuple(sorted(members, key=lambda run: (run.seed, run.name))))
        for members, name in zip(groups.values(), names, strict=True)
    ]


def _defining_params(run: ComparedRun, left_out: set[str]) -> dict[str, Any]:
    """Return the parameters that make a setting; `iterations` counts."""
    found = {key: value for key, value in run.params.items() if key not in left_out}
    return found | ({"iterations": run.planned} if "iterations" in found else {})


def _canonical(values: Any) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def setting_names(settings: Sequence[ParameterValues], presets: Mapping[str, ParameterValues]) -> list[str]:
    """Return a name for each: its preset's, then what differs between the settings and is not the default.

    cfg is listed whenever it differs, for it is what everyone asks first.
    """
    keys = {key for values in settings for key in values}
    differing = [key for key in keys if len({_canonical(values.get(key)) for values in settings}) > 1]
    differing.sort(key=lambda key: (_ORDER.index(key) if key in _ORDER else len(_ORDER), key))
    return [_name(values, differing, presets) for values in settings]


def _name(values: ParameterValues, differing: Sequence[str], presets: Mapping[str, ParameterValues]) -> str:
    preset = next((name for name, wanted in presets.items() if _matches(values, wanted)), None)
    covered = presets[preset] if preset else {}
    rest = [key for key in differing if key not in covered]
    parts = [_part(key, values) for key in rest if key == "cfg" or values.get(key) != _default(key)]
    if preset:
        return ", ".join([preset, *parts])
    if shown := parts or [_part(key, values) for key in rest]:
        return ", ".join(shown)
    return _part("cfg", values) if "cfg" in values else "all runs"


def _matches(values: ParameterValues, wanted: ParameterValues) -> bool:
    return all(key in values and values[key] == value for key, value in wanted.items())


def _default(key: str) -> Any:
    entry = Params.model_fields.get(key)
    return entry.get_default(call_default_factory=True) if entry else None


def _part(key: str, values: ParameterValues) -> str:
    value = values.get(key)
    if isinstance(value, bool) or value is None:
        return f"{key}={str(value).lower()}"
    return f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"


def without_duplicates(runs: Sequence[ComparedRun], averaged: Iterable[str] = ("seed",)) -> tuple[list[ComparedRun], list[str]]:
    """Return runs that differ in some parameter, and a sentence on each one left out: a run counted twice is no sample."""
    kept: dict[str, ComparedRun] = {}
    notices = []
    for run in runs:
        key = _canonical([run.arm, _defining_params(run, set(NEVER_DIFFERS)), [run.params.get(key) for key in averaged]])
        if key in kept:
            notices.append(f"{run.name} has the same parameters and seed as {kept[key].name}: only {kept[key].name} counts.")
        kept.setdefault(key, run)
    return list(kept.values()), notices


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


Column = Callable[[Setting], SeedMean | None]


def columns() -> dict[str, Column]:
    """Return what the table says of a setting; index K is the setting's last iteration."""
    at_end = {one.heading: partial(Setting.at_end, metric=key) for key, one in MEASURES.items() if "table" in one.pages}
    first = {"FID_1": partial(Setting.at, metric="fid", k=1), "FID_K": at_end["FID_K"]}
    return {**first, "collapse rate": lambda setting: setting.collapse_rate, **at_end}
