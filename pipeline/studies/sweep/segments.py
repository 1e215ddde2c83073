"""A chain in segments, and which of them two chains have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.chain.params import STAGE_PARAMS, Params

_REAL_IMAGES = ("prepare",)
_FEATURES = ("measure", "analyse")
FIRST_MODEL = ("prepare", "curate", "train")
FIRST_IMAGES = ("prepare", "curate", "train", "sample")


@dataclass(frozen=True)
class Segment:
    """Part of a chain: DVC targets (none: all), and the iteration that it ends.

    Segments of two chains have the same `lock_key` where they have a costly stage in common, which only one chain at a time
    may compute; the same `result_key` where they have every stage in common ("": they never have).
    """

    targets: tuple[str, ...]
    lock_key: str
    k: int | None = None
    result_key: str = ""


def segments_of(params: Params) -> tuple[Segment, ...]:
    """Return the segments of a chain, each with the one before in it: D_0 and its features; M_1; each iteration; the report.

    Arms that differ in sampling have the key of M_1 in common, longer chains that of every iteration of a shorter one.
    """
    real, model, images = (
        values_as_key(params, parameters_read_by(stages)) for stages in (_REAL_IMAGES, FIRST_MODEL, FIRST_IMAGES)
    )
    complete = [values_as_key(params, parameters_read_by((*stages, *_FEATURES))) for stages in (_REAL_IMAGES, FIRST_MODEL)]
    return (
        Segment(("prepare", "reference", "reference_analysis"), real, result_key=complete[0]),
        Segment(("train@1",), model, result_key=complete[1]),
        *(Segment((f"measure@{k}", f"analyse@{k}"), f"{images} {k}", k) for k in range(1, params.last + 1)),
        Segment((), values_as_key(params, set(Params.model_fields) - {"title"})),
    )


def parameters_read_by(stages: Iterable[str]) -> set[str]:
    """Return the names of the parameters on which the results of these stages depend."""
    return {name for stage in stages for name in STAGE_PARAMS[stage]}


def values_as_key(params: Params, names: set[str]) -> str:
    """Return a text that is the same for chains with the same values of these parameters."""
    plain = params.model_dump()
    return json.dumps({name: plain[name] for name in sorted(names)})
