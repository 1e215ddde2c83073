"""Images without any order but their names, at any depth below the folder: Kumapi."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.folder_contents import is_litter
from pipeline.inputs.datasets.items import Problem, RawItem, RawListing
from pipeline.inputs.datasets.layouts.files import images_in


def read(folder: Path) -> RawListing:
    """List images at any depth; an image's name is its path below `folder` with dashes."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that holds the raw data set (docs/datasets.md shows its tree)")
    found, named = RawListing(), []
    for place in [folder, *_folders_below(folder)]:
        for path in images_in(place, found):
            named.append(("-".join(path.relative_to(folder).with_suffix("").parts), path))
    if not named:
        raise UserError(f"{folder} holds no image at any depth; unpack the data set there (docs/datasets.md)")
    _add(found, named)
    return found


def _folders_below(folder: Path) -> list[Path]:
    """Return all folders below in order of path, without those that systems leave behind; these `images_in` counts."""
    folders = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and not is_litter(path):
            folders += [path, *_folders_below(path)]
    return folders


def _add(found: RawListing, named: list[tuple[str, Path]]) -> None:
    by_name: dict[str, list[Path]] = defaultdict(list)
    for name, path in named:
        by_name[name].append(path)
    for name in sorted(by_name, key=_numbers_by_value):
        first, *others = by_name[name]
        found.items.append(RawItem(name, first))
        found.problems += [
            Problem(other.name, f"has the name of {first.name}, and would share its caption") for other in others
        ]


def _numbers_by_value(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts 2 before 10."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
