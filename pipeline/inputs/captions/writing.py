"""Write captions beside the pictures, so that the folder never holds one of another prompt set, even when a run is stopped."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.files import write_text
from pipeline.inputs.captions import parts
from pipeline.inputs.captions.combine import caption_of
from pipeline.inputs.captions.job import Job, Outcome
from pipeline.inputs.captions.overrides import Override
from pipeline.inputs.captions.owners import Texts
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.datasets.items import Problem
from pipeline.inputs.datasets.texts import Text, fault_of_caption

_LASTING = ("tags", "add_tags", "remove_tags", "title", "species", "description")
"""Corrections that hold for every prompt set; a text or a caption by hand belongs to the one that it was written for."""

_EMPTY = "is empty: no part of its rule says anything"


def make_captions(job: Job, outcome: Outcome, texts: Texts, corrections: Mapping[str, Override]) -> dict[str, str]:
    """{picture: the caption to write}; these, and those that stay as people wrote them, are in `outcome`, as are problems."""
    made = {}
    for row in outcome.rows:
        correction = corrections.get(row.name, {})
        row.thresholds = (job.thresholds.general, job.thresholds.character)
        row.corrections = {key: value for key, value in correction.items() if key in _LASTING}
        owned = texts.owned.get(row.name)
        if owned is None or job.overwrite:
            caption = caption_of(row, correction, job.rule, job.thresholds)
            fault = fault_of_caption(caption) if caption else _EMPTY
            if not fault:
                made[row.name] = outcome.captions[row.name] = caption
                continue
            outcome.problems.append(Problem(f"{row.name}.txt", fault if owned else f"{fault}; the picture is left out"))
        if owned is not None and not owned.fault:
            outcome.kept += 1
            outcome.captions[row.name] = owned.text
    return made


def write_captions(job: Job, outcome: Outcome, made: Mapping[str, str], texts: Texts) -> None:
    """Write captions and parts.jsonl. A picture without caption is left out, with the caption that an earlier run wrote."""
    changed = [row for row in outcome.rows if row.name in made or not _stays(job, texts.owned.get(row.name))]
    nothing = Text(job.out)
    for row in changed:
        # Both are in parts.jsonl before any file changes: whatever a stopped run leaves is known as its own.
        row.replaces = texts.here.get(row.name, nothing).text
        row.caption = made.get(row.name, "")
    parts.save(job.out, outcome.rows)
    for row in changed:
        path = texts.here[row.name].path if row.name in texts.here else job.out / f"{row.name}.txt"
        if row.caption:
            write_text(path, row.caption + "\n")
        else:
            _leave_out(job, row, texts.here.get(row.name))
    for row in outcome.rows:
        row.replaces = ""
    parts.save(job.out, outcome.rows)


def _stays(job: Job, owned: Text | None) -> bool:
    """Whether the folder has a caption that people wrote; a faulty one beside a raw picture did not come along."""
    return owned is not None and (not owned.fault or owned.path.parent == job.out)


def _leave_out(job: Job, row: Parts, text: Text | None) -> None:
    """Remove what an earlier run wrote, and the picture where the folder is of our making: it comes back with a caption."""
    if text is not None and (text.text or not job.in_place):
        text.path.unlink(missing_ok=True)
    if not job.in_place:
        (job.out / row.file).unlink(missing_ok=True)
