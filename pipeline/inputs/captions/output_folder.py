"""Write images, captions and parts.jsonl into the output folder, and leave the captions that people wrote.

It never holds a caption of another prompt set, even when a run is stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.inputs.captions import parts
from pipeline.inputs.captions.caption_job import CaptionJob, CaptionResult
from pipeline.inputs.captions.compose import caption_of
from pipeline.inputs.captions.overrides import Override
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.datasets.caption_files import captions_beside, fault_of_caption
from pipeline.inputs.datasets.folder_contents import CAPTION_SUFFIXES
from pipeline.inputs.datasets.images import open_image, square
from pipeline.inputs.datasets.items import CaptionFile, Problem
from pipeline.inputs.datasets.selection import SelectedImage

_LASTING = ("tags", "add_tags", "remove_tags", "title", "species", "description")
"""Corrections that hold for every prompt set; a text or a caption by hand belongs to the one that it was written for."""

_EMPTY = "is empty: no part of its rule says anything"


def parts_of(job: CaptionJob, one: SelectedImage, old: Parts | None) -> Parts:
    """Return the image's parts: the old ones when the file is the same, with its caption in any case."""
    item = one.item
    suffix = ".png" if job.size else item.path.suffix.lower()
    file = item.path.name if job.in_place else f"{item.name}{suffix}"
    row = Parts(item.name, file, one.sha256, job.prepared, item.title, item.species, item.description, item.attributes)
    if old is not None:
        row.caption, row.replaces = old.caption, old.replaces
        if _same_source(row, old):
            row.blip, row.tags, row.made_by = old.blip, old.tags, old.made_by
    return row


def write_image(job: CaptionJob, one: SelectedImage, row: Parts, old: Parts | None) -> None:
    """Write the image unless it is there. Raise UserError when it cannot be written."""
    target = job.out / row.file
    if job.in_place or (old is not None and _same_source(row, old) and target.is_file()):
        return
    if old is not None and old.file != row.file:
        (job.out / old.file).unlink(missing_ok=True)
    if job.size:
        write_bytes(target, encode_png(np.asarray(square(open_image(one.item.path), job.size, job.fit))))
    else:
        _copy(one.item.path, target)


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
        raw, further = captions_beside({one.item.name: one.item.path for one in chosen if one.item.caption is None})
        problems += further
        raw |= {one.item.name: one.item.caption for one in chosen if one.item.caption is not None}
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


def copy_manual_captions(job: CaptionJob, manual: Mapping[str, CaptionFile]) -> None:
    """Copy what people wrote beside the raw images; what is no caption stays behind."""
    for name, text in manual.items():
        if text.path.parent == job.out or text.fault:
            continue
        target = job.out / f"{name}.txt"
        if text.path.suffix.lower() in CAPTION_SUFFIXES:
            _copy(text.path, target)
        else:
            write_text(target, text.text + "\n")


def _same_source(row: Parts, old: Parts) -> bool:
    return old.sha256 == row.sha256 and old.prepared == row.prepared


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise UserError(
            f"cannot copy {source} to {target}: {error.strerror}; check free space and permissions, and run again"
        ) from error


def make_captions(
    job: CaptionJob, outcome: CaptionResult, existing: ExistingCaptions, corrections: Mapping[str, Override]
) -> dict[str, str]:
    """Return {image: the caption to write}; add these, those that stay as people wrote them, and problems to `outcome`."""
    made = {}
    for row in outcome.rows:
        correction = corrections.get(row.name, {})
        row.thresholds = (job.thresholds.general, job.thresholds.character)
        row.corrections = {key: value for key, value in correction.items() if key in _LASTING}
        manual = existing.manual.get(row.name)
        if manual is None or job.overwrite:
            caption = caption_of(row, correction, job.rule, job.thresholds)
            fault = fault_of_caption(caption) if caption else _EMPTY
            if not fault:
                made[row.name] = outcome.captions[row.name] = caption
                continue
            outcome.problems.append(Problem(f"{row.name}.txt", fault if manual else f"{fault}; the image is left out"))
        if manual is not None and not manual.fault:
            outcome.hand_edited += 1
            outcome.captions[row.name] = manual.text
    return made


def write_captions(job: CaptionJob, outcome: CaptionResult, made: Mapping[str, str], existing: ExistingCaptions) -> None:
    """Write captions and parts.jsonl. An image without caption is left out, with the caption that an earlier run wrote."""
    changed = [row for row in outcome.rows if row.name in made or not _stays(job, existing.manual.get(row.name))]
    nothing = CaptionFile(job.out)
    for row in changed:
        # Both are in parts.jsonl before any file changes: whatever a stopped run leaves is known as its own.
        row.replaces = existing.written.get(row.name, nothing).text
        row.caption = made.get(row.name, "")
    parts.save(job.out, outcome.rows)
    for row in changed:
        path = existing.written[row.name].path if row.name in existing.written else job.out / f"{row.name}.txt"
        if row.caption:
            write_text(path, row.caption + "\n")
        else:
            _leave_out(job, row, existing.written.get(row.name))
    for row in outcome.rows:
        row.replaces = ""
    parts.save(job.out, outcome.rows)


def _stays(job: CaptionJob, manual: CaptionFile | None) -> bool:
    """Tell whether the folder has a caption that people wrote; a faulty one beside a raw image did not come along."""
    return manual is not None and (not manual.fault or manual.path.parent == job.out)


def _leave_out(job: CaptionJob, row: Parts, text: CaptionFile | None) -> None:
    """Remove what an earlier run wrote, and the image where the folder is of our making: it comes back with a caption."""
    if text is not None and (text.text or not job.in_place):
        text.path.unlink(missing_ok=True)
    if not job.in_place:
        (job.out / row.file).unlink(missing_ok=True)
