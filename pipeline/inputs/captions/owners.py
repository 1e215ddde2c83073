"""Captions that people wrote: those beside the raw pictures, and those in the folder that this package did not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.inputs.captions.combine import caption_of
from pipeline.inputs.captions.job import Job, Outcome
from pipeline.inputs.captions.overrides import Override
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.datasets.items import Problem
from pipeline.inputs.datasets.select import Chosen
from pipeline.inputs.datasets.texts import Text, beside


@dataclass(frozen=True)
class Texts:
    """By picture: the captions that stand in the folder, and those, there or beside the raw picture, that people wrote."""

    here: Mapping[str, Text]
    owned: Mapping[str, Text]


def find(job: Job, chosen: Sequence[Chosen], outcome: Outcome, corrections: Mapping[str, Override]) -> Texts:
    """The captions that there are; what keeps one of people's from being a caption, or corrected, becomes a problem."""
    here, problems = beside({row.name: job.out / row.file for row in outcome.rows})
    raw: dict[str, Text] = {}
    if not job.in_place:
        raw, further = beside({one.item.name: one.item.path for one in chosen})
        problems += further
    outcome.problems += problems
    owned = {}
    for row in outcome.rows:
        text = here.get(row.name) or raw.get(row.name)
        correction = corrections.get(row.name, {})
        if text is None or _is_ours(job, row, text, correction):
            continue
        owned[row.name] = text
        if reason := "" if job.overwrite else _problem(job, text, bool(correction)):
            outcome.problems.append(Problem(text.path.name, reason))
    return Texts(here, owned)


def _is_ours(job: Job, row: Parts, text: Text, correction: Override) -> bool:
    """Whether an earlier run wrote a caption, or nobody did: it is empty."""
    written = (row.caption, row.replaces, caption_of(row, correction, job.rule, job.thresholds))
    return not text.fault and text.text in ("", *written)


def _problem(job: Job, text: Text, is_corrected: bool) -> str:
    if text.fault:
        return f"{text.fault}; mend it, or --overwrite writes it anew"
    if is_corrected and job.overrides:
        return f"was written or edited by hand and stays, whatever {job.overrides.name} says; --overwrite lets that count"
    return ""
