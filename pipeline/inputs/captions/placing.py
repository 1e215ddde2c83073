"""Pictures, and the captions that people wrote beside them, into the folder; and the row of parts.jsonl for each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes
from pipeline.core.images import encode_png
from pipeline.inputs.captions.job import Job
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.datasets.pictures import open_picture, square
from pipeline.inputs.datasets.select import Chosen
from pipeline.inputs.datasets.texts import Text


def row_of(job: Job, one: Chosen, old: Parts | None) -> Parts:
    """The picture's row: with the old one's parts when the file is the same, with its caption in any case."""
    item = one.item
    suffix = ".png" if job.size else item.path.suffix.lower()
    file = item.path.name if job.in_place else f"{item.name}{suffix}"
    row = Parts(item.name, file, one.sha256, job.prepared, item.title, item.species, item.description, item.attributes)
    if old is not None:
        row.caption, row.replaces = old.caption, old.replaces
        if _is_same(row, old):
            row.blip, row.tags, row.made_by = old.blip, old.tags, old.made_by
    return row


def place_picture(job: Job, one: Chosen, row: Parts, old: Parts | None) -> None:
    """Write the picture unless it is there. Raises UserError when it cannot be written."""
    target = job.out / row.file
    if job.in_place or (old is not None and _is_same(row, old) and target.is_file()):
        return
    if old is not None and old.file != row.file:
        (job.out / old.file).unlink(missing_ok=True)
    if job.size:
        write_bytes(target, encode_png(np.asarray(square(open_picture(one.item.path), job.size, job.fit))))
    else:
        _copy(one.item.path, target)


def place_captions(job: Job, owned: Mapping[str, Text]) -> None:
    """Copy what people wrote beside the raw pictures; what is no caption stays behind."""
    for name, text in owned.items():
        if text.path.parent != job.out and not text.fault:
            _copy(text.path, job.out / f"{name}.txt")


def _is_same(row: Parts, old: Parts) -> bool:
    return old.sha256 == row.sha256 and old.prepared == row.prepared


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise UserError(f"cannot copy {source} to {target}: {error.strerror}; make room or rights and run again") from error
