"""Ask BLIP and the tagger for the parts that are missing: in batches, saved on the way, so that a stopped run goes on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from PIL import Image

from pipeline.captions import parts
from pipeline.captions.job import Captioner, Job, Model, Outcome, TagsPictures
from pipeline.captions.overrides import Override
from pipeline.captions.parts import Parts
from pipeline.captions.rules import Window
from pipeline.datasets.items import Problem
from pipeline.datasets.pictures import open_picture
from pipeline.errors import UserError
from pipeline.progress import Progress

_SAVES = 50
"""parts.jsonl is written this often in a run, however many pictures there are."""


def ask_models(
    job: Job,
    outcome: Outcome,
    blip: Model[Captioner] | None,
    tagger: Model[TagsPictures] | None,
    settled: Collection[str],
    corrections: Mapping[str, Override],
) -> None:
    """Fill in the texts and tags that the rule needs, but for pictures whose caption is `settled` or part corrected.

    Raises UserError when one is missing and its model is not given.
    """
    _forget_other_models(outcome.rows, blip, tagger)
    own = job.rule.window if "blip" in job.rule.parts else None
    windows = [*([own] if own else []), *(window for window in job.windows if window != own)]
    loaded: list[Captioner] = []
    for window in windows:
        missing = [
            row for row in outcome.rows
            if window.label not in row.blip and not (window == own and (row.name in settled or _has(corrections, row, "blip")))
        ]  # fmt: skip
        if missing:
            model = _needed(blip, "--blip", f"BLIP's text of {window.label}", len(missing))
            loaded = loaded or [model.load()]
            _write_texts(job, outcome, missing, window, loaded[0], model.identity)
    if "tags" in job.rule.parts:
        untagged = [row for row in outcome.rows if row.tags is None and row.name not in settled]
        untagged = [row for row in untagged if not _has(corrections, row, "tags")]
        if untagged:
            found = _needed(tagger, "--tagger", "tags", len(untagged))
            _write_tags(job, outcome, untagged, found)


def _has(corrections: Mapping[str, Override], row: Parts, column: str) -> bool:
    return column in corrections.get(row.name, {})


def _forget_other_models(rows: list[Parts], blip: Model[Any] | None, tagger: Model[Any] | None) -> None:
    """Drop the parts that another model than the given one made."""
    for row in rows:
        if blip and row.blip and row.made_by.get("blip") != blip.identity:
            row.blip = {}
        if tagger and row.tags is not None and row.made_by.get("tagger") != tagger.identity:
            row.tags = None


def _needed(model: Model[Any] | None, option: str, what: str, count: int) -> Model[Any]:
    if model is None:
        raise UserError(
            f"{count} pictures have no {what} yet: name the model's folder with {option} (docs/datasets.md), "
            "or choose other parts with --parts"
        )
    return model


def _write_texts(job: Job, outcome: Outcome, missing: list[Parts], window: Window, blip: Captioner, identity: str) -> None:
    from pipeline.captions.length import count_words

    def put(rows: list[Parts], images: list[Image.Image]) -> None:
        for row, text in zip(rows, blip.caption(images, window), strict=True):
            row.blip = row.blip | {window.label: text}
            row.made_by = row.made_by | {"blip": identity}
            if window.unit == "words" and not window.fits(count_words(text)):
                reason = f"has {count_words(text)} words of BLIP's, outside {window.label}"
                outcome.problems.append(Problem(row.file, reason))

    _in_batches(job, outcome, missing, f"BLIP, {window.label}", put)


def _write_tags(job: Job, outcome: Outcome, missing: list[Parts], tagger: Model[TagsPictures]) -> None:
    model = tagger.load()

    def put(rows: list[Parts], images: list[Image.Image]) -> None:
        for row, tags in zip(rows, model.tag(images), strict=True):
            row.tags = tags
            row.made_by = row.made_by | {"tagger": tagger.identity}

    _in_batches(job, outcome, missing, "WD tagger", put)


def _in_batches(
    job: Job, outcome: Outcome, missing: list[Parts], what: str, put: Callable[[list[Parts], list[Image.Image]], None]
) -> None:
    """Call `put` on each batch, and save all rows now and then."""
    every = max(job.batch, -(-len(missing) // _SAVES))
    unsaved = 0
    with Progress(what, len(missing)) as progress:
        for first in range(0, len(missing), job.batch):
            rows = missing[first : first + job.batch]
            put(rows, [open_picture(job.out / row.file) for row in rows])
            progress.advance(len(rows))
            unsaved += len(rows)
            if unsaved >= every:
                parts.save(job.out, outcome.rows)
                unsaved = 0
