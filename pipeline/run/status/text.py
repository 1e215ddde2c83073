"""The chain's state as a table; reasons and remaining time as lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.run.status.stage_states import StageState
from pipeline.run.status.times import FILE, Remaining

_COLUMNS = ("curate", "train", "sample", "measure", "analyse")
_WIDTH = 9
_ABSENT = ("they ran, their outputs are not here: 'dvc checkout' or 'redifine get', else 'dvc pull'",)


def table(stages: Sequence[StageState], fids: Mapping[int, float]) -> list[str]:
    """Return one row for each k, one column for each kind of stage, and FID_k."""
    cells = {(stage.kind, stage.k): stage.state for stage in stages}
    ks = sorted({stage.k for stage in stages if stage.k is not None})
    lines = ["".join(f"{head:{_WIDTH}}" for head in ("", *_COLUMNS, "FID"))]
    for k in ks:
        states = (cells.get((kind, k), "") for kind in _COLUMNS)
        fid = f"{fids[k]:.4g}" if k in fids else ""
        lines.append("".join(f"{cell:{_WIDTH}}" for cell in (f"k = {k}", *states, fid)).rstrip())
    once = [f"{stage.name} {stage.state}" for stage in stages if stage.k is None]
    return [*lines, ", ".join(once)]


def reasons(stages: Sequence[StageState]) -> list[str]:
    """Return what is not done and why; stages of one kind with the same reason share a line, and all that are absent."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for stage in stages:
        if stage.state in ("stale", "missing", "running"):
            groups[(stage.kind, stage.state, stage.reasons)].append(stage.name)
    if absent := [stage for stage in stages if stage.state == "absent"]:
        why = absent[0].reasons if len(absent) == 1 else _ABSENT
        groups[("", "absent", why)] = [stage.name for stage in absent]
    return [
        f"{state}: {', '.join(names)}" + (f" ({'; '.join(why)})" if why else "") for (_, state, why), names in groups.items()
    ]


def describe_remaining(remaining: Remaining, absent: bool = False) -> str:
    """ "about 4 min left (2 x train, ...)", and what of it was never timed. `absent`: some of the record is not here."""
    if not remaining.counts:
        return "nothing left to do, once what is absent is fetched" if absent else "nothing left to do"
    stages = ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in remaining.counts.items())
    if len(remaining.unknown) == len(remaining.counts):
        return f"left: {stages}; how long that takes is not known, no such stage has ended here yet ({FILE})"
    unknown = f", without {', '.join(remaining.unknown)}, which never ended here" if remaining.unknown else ""
    return f"at most about {duration(remaining.seconds)} left{unknown}: {stages} (from {FILE})"


def duration(seconds: float) -> str:
    """5 -> "5 s", 130 -> "2 min", 9000 -> "2 h 30 min"."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def as_json(stages: Sequence[StageState], fids: Mapping[int, float], remaining: Remaining) -> dict[str, Any]:
    """Return all of it as plain values; seconds_left is null when no stage that is left was ever timed."""
    known = len(remaining.unknown) < len(remaining.counts) or not remaining.counts
    return {
        "stages": [{"name": s.name, "k": s.k, "state": s.state, "reasons": list(s.reasons)} for s in stages],
        "fid": {str(k): fid for k, fid in fids.items()},
        "seconds_left": round(remaining.seconds, 1) if known else None,
        "never_timed": list(remaining.unknown),
    }
