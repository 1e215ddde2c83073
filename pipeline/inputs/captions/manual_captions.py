"""Captions that people wrote: those beside the raw images, and those in the folder that this package did not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.inputs.captions.caption_job import CaptionJob, CaptionResult
from pipeline.inputs.captions.compose import caption_of
from pipeline.inputs.captions.overrides import Override
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.datasets.caption_files import CaptionFile, captions_beside
from pipeline.inputs.datasets.items import Problem
from pipeline.inputs.datasets.selection import SelectedImage


@dataclass(frozen=True)
class ExistingCaptions:
    """By image: the captions that stand in the folder, and those, there or beside the raw image, that people wrote."""

    written: Mapping[str, CaptionFile]
    manual: Mapping[str, CaptionFile]


def find_captions(
    job: CaptionJob, chosen: Sequence[SelectedImage], outcome: CaptionResult, corrections: Mapping[str, Override]
) -> ExistingCaptions:
    """Find the captions that there are; what keeps one of people's from being a caption, or corrected, becomes a problem."""
    written, problems = captions_beside({row.name: job.out / row.file for row in outcome.rows})
    raw: dict[str, CaptionFile] = {}
    if not job.in_place:
        raw, further = captions_beside({one.item.name: one.item.path for one in chosen})
        problems += further
    outcome.problems += problems
    manual = {}
    for row in outcome.rows:
        text = written.get(row.name) or raw.get(row.name)
        correction = corrections.get(row.name, {})
        if text is None or _is_generated(job, row, text, correction):
            continue
        manual[row.name] = text
        if reason := "" if job.overwrite else _problem(job, text, bool(correction)):
            outcome.problems.append(Problem(text.path.name, reason))
    return ExistingCaptions(written, manual)


def _is_generated(job: CaptionJob, row: Parts, text: CaptionFile, correction: Override) -> bool:
    """Tell whether an earlier run wrote a caption, or nobody did: it is empty."""
    generated = (row.caption, row.replaces, caption_of(row, correction, job.rule, job.thresholds))
    return not text.fault and text.text in ("", *generated)


def _problem(job: CaptionJob, text: CaptionFile, is_corrected: bool) -> str:
    if text.fault:
        return f"{text.fault}; fix it, or --overwrite writes it again"
    if is_corrected and job.overrides:
        return f"was written or edited by hand and stays, whatever {job.overrides.name} says; --overwrite lets that count"
    return ""
