"""Splits of a data set (train, validation, test), as the folders of images say them, or a column of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.folder_contents import FolderContents
from pipeline.inputs.datasets.items import Problem

UNSAID = "train"
"""The split of a data set that names none, as on the hub."""

_SPLITS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip


def images_of_split(
    contents: FolderContents, split: str, in_tables: Mapping[Path, str]
) -> tuple[list[Path], list[str], list[Problem]]:
    """Return the images whose folders, or tables, say `split`; what was left out, counted; and images that say none.

    A file's own name says nothing of its split. Where no folder says train, images outside of any split are it.
    Raise UserError where there are other splits alone.
    """
    wanted = _SPLITS.get(split.lower(), split)
    said = {path: _split_of(contents.folders(path), split, wanted) or _known(in_tables.get(path)) for path in contents.images}
    if UNSAID not in said.values():
        said = {path: name or UNSAID for path, name in said.items()}
    others = Counter(name for name in said.values() if name and name != wanted)
    known = sorted({name for name in said.values() if name})
    if contents.images and wanted not in known:
        raise UserError(
            f"{contents.root} has no split {split!r}; it has {', '.join(known)}: name the folder of one, or "
            "write one as files with 'redifine dataset fetch FOLDER --split NAME'"
        )
    notices = [f"{count} image(s) of the split {name} left out" for name, count in sorted(others.items())]
    reason = f"is of no split, while others are of splits ({', '.join(known)}); move it into one"
    unsaid = [Problem(contents.label(path), reason) for path, name in said.items() if name is None]
    return [path for path, name in said.items() if name == wanted], notices, unsaid


def _split_of(folders: Sequence[str], asked: str, wanted: str) -> str | None:
    return next((name for folder in folders if (name := wanted if folder == asked else _SPLITS.get(folder.lower()))), None)


def _known(split: str | None) -> str | None:
    return None if not split else _SPLITS.get(split.lower(), split)
