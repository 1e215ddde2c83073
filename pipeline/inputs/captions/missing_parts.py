"""Make the missing parts with BLIP and the tagger: in batches, saved on the way, so that a stopped run resumes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from pipeline.core.errors import UserError
from pipeline.core.progress import Progress
from pipeline.inputs.captions import parts
from pipeline.inputs.captions.caption_job import CaptionJob, CaptionResult, ImageCaptioner, ImageTagger, LazyModel
from pipeline.inputs.captions.overrides import Override
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.captions.rules import Window, count_words
from pipeline.inputs.datasets.images import open_image
from pipeline.inputs.datasets.items import Problem

_SAVES = 50
"""parts.jsonl is written this often in a run, however many images there are."""


@dataclass(frozen=True)
class MissingParts:
    """The rows that lack a part: of each window BLIP's text, and the tags; with the models that make them."""

    texts: list[tuple[Window, list[Parts]]]
    untagged: list[Parts]
    blip: LazyModel[ImageCaptioner] | None
    tagger: LazyModel[ImageTagger] | None


def find_missing(
    job: CaptionJob,
    rows: list[Parts],
    blip: LazyModel[ImageCaptioner] | None,
    tagger: LazyModel[ImageTagger] | None,
    settled: Collection[str],
    corrections: Mapping[str, Override],
) -> MissingParts:
    """Find the parts that the rule needs, but for images whose caption is `settled` or part corrected.

    Drop what other models than these have made. Raise UserError when a part is missing and its model is not given.
    """
    _drop_other_models(rows, blip, tagger)
    own = job.rule.window if "blip" in job.rule.parts else None
    open_rows = [row for row in rows if row.name not in settled]
    texts = []
    for window in dict.fromkeys((*([own] if own else []), *job.windows)):
        wanting = [row for row in open_rows if "blip" not in corrections.get(row.name, {})] if window == own else rows
        if missing := [row for row in wanting if window.label not in row.blip]:
            texts.append((window, missing))
    untagged = []
    if "tags" in job.rule.parts:
        untagged = [row for row in open_rows if row.tags is None and "tags" not in corrections.get(row.name, {})]
    lacking = [] if blip else [("--blip", f"BLIP's text of {window.label}", len(missing)) for window, missing in texts]
    lacking += [("--tagger", "tags", len(untagged))] if untagged and not tagger else []
    if lacking:
        raise _without_model(lacking)
    return MissingParts(texts, untagged, blip, tagger)


def _without_model(lacking: list[tuple[str, str, int]]) -> UserError:
    """Return the UserError; `lacking`: option of the model, part, number of images."""
    what = " and ".join(f"{count} images have no {part}" for _, part, count in lacking)
    options = " and ".join(dict.fromkeys(option for option, _, _ in lacking))
    return UserError(
        f"{what} yet: name the folder of each model with {options} (docs/datasets.md), or choose other parts with --parts"
    )


def fill_missing(job: CaptionJob, outcome: CaptionResult, missing: MissingParts) -> None:
    """Fill in the missing parts. Both models are loaded before either works for hours. Raise UserError for a damaged one."""
    blip, tagger = missing.blip, missing.tagger
    captioner = blip.load() if blip and missing.texts else None
    tags = tagger.load() if tagger and missing.untagged else None
    if blip and captioner:
        for window, rows in missing.texts:
            _write_texts(job, outcome, rows, window, captioner, blip.identity)
    if tagger and tags:
        _write_tags(job, outcome, missing.untagged, tags, tagger.identity)


def _drop_other_models(rows: list[Parts], blip: LazyModel[Any] | None, tagger: LazyModel[Any] | None) -> None:
    """Drop the parts that another model than the given one made."""
    for row in rows:
        if blip and row.blip and row.made_by.get("blip") != blip.identity:
            row.blip = {}
        if tagger and row.tags is not None and row.made_by.get("tagger") != tagger.identity:
            row.tags = None


def _write_texts(
    job: CaptionJob, outcome: CaptionResult, missing: list[Parts], window: Window, blip: ImageCaptioner, identity: str
) -> None:
    def fill(rows: list[Parts], images: list[Image.Image]) -> None:
        for row, text in zip(rows, blip.caption(images, window), strict=True):
            row.blip = row.blip | {window.label: text}
            row.made_by = row.made_by | {"blip": identity}
            if window.unit == "words" and not window.fits(count_words(text)):
                reason = f"has {count_words(text)} words of BLIP's, outside {window.label}"
                outcome.problems.append(Problem(row.file, reason))

    _in_batches(job, outcome, missing, f"BLIP, {window.label}", fill)


def _write_tags(job: CaptionJob, outcome: CaptionResult, missing: list[Parts], tagger: ImageTagger, identity: str) -> None:
    def fill(rows: list[Parts], images: list[Image.Image]) -> None:
        for row, tags in zip(rows, tagger.tag(images), strict=True):
            row.tags = tags
            row.made_by = row.made_by | {"tagger": identity}

    _in_batches(job, outcome, missing, "WD tagger", fill)


def _in_batches(
    job: CaptionJob,
    outcome: CaptionResult,
    missing: list[Parts],
    what: str,
    fill: Callable[[list[Parts], list[Image.Image]], None],
) -> None:
    """Call `fill` on each batch, and save all rows at intervals."""
    every = max(job.batch, -(-len(missing) // _SAVES))
    unsaved = 0
    with Progress(what, len(missing)) as progress:
        for first in range(0, len(missing), job.batch):
            rows = missing[first : first + job.batch]
            fill(rows, [open_image(job.out / row.file) for row in rows])
            progress.advance(len(rows))
            unsaved += len(rows)
            if unsaved >= every:
                parts.save(job.out, outcome.rows)
                unsaved = 0
