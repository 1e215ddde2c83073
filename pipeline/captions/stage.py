"""A raw data set -> a folder of pictures with captions beside them and parts.jsonl, which `dataset: folder` reads."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.captions import overrides, parts
from pipeline.captions.ask import ask_models
from pipeline.captions.combine import compose, corrected
from pipeline.captions.job import Captioner, Job, Model, Outcome, TagsPictures
from pipeline.captions.overrides import Override
from pipeline.captions.parts import Parts
from pipeline.datasets.items import Problem, refuse
from pipeline.datasets.pictures import SUFFIXES, open_picture, square
from pipeline.datasets.select import Chosen, choose
from pipeline.errors import UserError
from pipeline.guards import fault_of_text
from pipeline.progress import Progress
from pipeline.storage import encode_png, write_bytes, write_text

_LASTING = ("tags", "add_tags", "remove_tags", "title", "species", "description")
"""Corrections that hold for every prompt set; a text or a caption by hand belongs to the one that it was written for."""


def run(job: Job, blip: Model[Captioner] | None, tagger: Model[TagsPictures] | None) -> Outcome:
    """Make the folder; parts that are there already, of the same file and model, are not asked for again.

    Raises UserError for a problem when `job.strict`, before anything is written; when no picture is left; and when a
    model that the rule needs is not given.
    """
    if job.in_place and job.size:
        raise UserError(f"--size would change the pictures of {job.raw} itself; name another folder with --out")
    found = job.dataset.read(job.raw)
    old = parts.load(job.out)
    with Progress("pictures", job.count or len(found.items)) as progress:
        chosen, problems = choose(found, job.count, job.seed, (row.sha256 for row in old.values()), progress.advance)
    outcome = Outcome(problems=problems, notes=list(found.notes))
    names = [one.item.name for one in chosen]
    corrections: dict[str, Override] = {}
    if job.overrides:
        corrections, wrong = overrides.load(job.overrides, names)
        problems += wrong
    if job.strict:
        refuse(problems, job.raw)
    if not chosen:
        listed = "; ".join(str(problem) for problem in problems[:5])
        raise UserError(f"{job.raw} has no usable picture of {job.dataset.name}: {listed or 'it is empty'}")
    _refuse_leftovers(job, names)
    outcome.rows = [_place(job, one, old.get(one.item.name)) for one in chosen]
    by_hand = {} if job.overwrite else _by_hand(job, outcome, corrections)
    settled = by_hand.keys() | {name for name, cells in corrections.items() if "caption" in cells}
    ask_models(job, outcome, blip, tagger, settled, corrections)
    _write_captions(job, outcome, by_hand, corrections)
    parts.save(job.out, outcome.rows)
    return outcome


def _refuse_leftovers(job: Job, names: list[str]) -> None:
    """Raise UserError when the folder holds pictures of another selection: D_0 would silently have them too."""
    if job.in_place or not job.out.is_dir():
        return
    wanted = set(names)
    others = sorted(p.name for p in job.out.iterdir() if p.suffix.lower() in SUFFIXES and p.stem not in wanted)
    if others:
        raise UserError(
            f"{job.out} holds {len(others)} pictures that are not of this selection ({others[0]}, ...); "
            "remove them, or name another folder with --out"
        )


def _place(job: Job, one: Chosen, old: Parts | None) -> Parts:
    """The picture in the folder, written unless it is there, and its row: the old one's parts when the file is the same.

    A .txt beside the raw picture is its owner's caption and comes along.
    """
    item = one.item
    suffix = ".png" if job.size else item.path.suffix.lower()
    file = item.path.name if job.in_place else f"{item.name}{suffix}"
    same = old is not None and old.sha256 == one.sha256 and old.prepared == job.prepared
    row = Parts(item.name, file, one.sha256, job.prepared, item.title, item.species, item.description, item.attributes)
    if old is not None:
        row.caption = old.caption
        if same:
            row.blip, row.tags, row.made_by = old.blip, old.tags, old.made_by
    if job.in_place or (same and (job.out / file).is_file()):
        return row
    if old is not None and old.file != file:
        (job.out / old.file).unlink(missing_ok=True)
    if job.size:
        pixels = np.asarray(square(open_picture(item.path), job.size, job.fit))
        write_bytes(job.out / file, encode_png(pixels))
    else:
        _copy(item.path, job.out / file)
    owners, caption = item.path.with_suffix(".txt"), job.out / f"{item.name}.txt"
    if owners.is_file() and not caption.exists():
        _copy(owners, caption)
    return row


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise UserError(f"cannot copy {source} to {target}: {error.strerror}; make room or rights and run again") from error


def _by_hand(job: Job, outcome: Outcome, corrections: Mapping[str, Override]) -> dict[str, str]:
    """Captions in the folder that this stage did not write; one that is no text is a problem, and stays as it is ("")."""
    found = {}
    for row in outcome.rows:
        path = job.out / f"{row.name}.txt"
        try:
            text = " ".join(path.read_text(encoding="utf-8-sig").split())
        except FileNotFoundError:
            continue
        except (UnicodeDecodeError, OSError):
            outcome.problems.append(Problem(path.name, "cannot be read as UTF-8 text; --overwrite writes it anew"))
            found[row.name] = ""
            continue
        # The second: a run that was stopped while it wrote captions had not recorded them yet.
        if text and text not in (row.caption, _caption(job, row, corrections)):
            found[row.name] = text
    return found


def _write_captions(job: Job, outcome: Outcome, by_hand: Mapping[str, str], corrections: Mapping[str, Override]) -> None:
    outcome.kept = len(by_hand)
    for row in outcome.rows:
        row.thresholds = (job.thresholds.general, job.thresholds.character)
        row.corrections = {key: value for key, value in corrections.get(row.name, {}).items() if key in _LASTING}
        if row.name in by_hand:
            if by_hand[row.name]:
                outcome.captions[row.name] = by_hand[row.name]
            continue
        caption = _caption(job, row, corrections)
        fault = "is empty: no part of its rule says anything" if not caption else fault_of_text(caption)
        if fault:
            outcome.problems.append(Problem(f"{row.name}.txt", fault if not caption else f"would hold {fault}"))
            continue
        row.caption = outcome.captions[row.name] = caption
        write_text(job.out / f"{row.name}.txt", caption + "\n")


def _caption(job: Job, row: Parts, corrections: Mapping[str, Override]) -> str:
    """What the rule makes of the parts as they are, with the picture's corrections."""
    correction = corrections.get(row.name, {})
    parts = corrected(row, correction, job.rule.window)
    return " ".join(correction.get("caption", compose(parts, job.rule, job.thresholds)).split())
