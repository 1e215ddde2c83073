"""What the layouts share: where the images are, which files are images, tables beside them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.images import SUFFIXES
from pipeline.inputs.datasets.items import Problem

_IGNORED = frozenset({"readme.md", "readme.txt", ".gitignore", ".ds_store", "thumbs.db", "desktop.ini", "parts.jsonl"})
_SHOWN = 5


@dataclass(frozen=True)
class Table:
    """A CSV file: the names of its columns in lower case, and of each row its cells by column and its line in the file."""

    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]


def image_folder(folder: Path, candidates: Iterable[str]) -> Path:
    """Return the first of `candidates` below `folder` that holds an image; of several that a * stands for, the last by name.

    Raise UserError when none does.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that holds the raw data set (docs/datasets.md shows its tree)")
    tried = list(candidates)
    for candidate in tried:
        for place in sorted(folder.glob(candidate), reverse=True) if "*" in candidate else [folder / candidate]:
            if place.is_dir() and any(is_image(path) for path in place.iterdir()):
                return place
    places = ", ".join(candidate or "." for candidate in tried)
    raise UserError(f"{folder} holds no image in any of {places}; docs/datasets.md shows the tree that is expected there")


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def images_in(folder: Path, problems: list[Problem]) -> list[Path]:
    """List the images directly in `folder`, in order of name; what else is there and nothing explains becomes a problem."""
    found = []
    for path in sorted(folder.iterdir()):
        if is_image(path):
            found.append(path)
        elif reason := _no_image(path):
            problems.append(Problem(path.name, reason))
    return found


def _no_image(path: Path) -> str | None:
    """Return why something beside the images is none of them; None for a folder and for files that may well be there."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return "is a folder, though it is named as an image" if suffix in SUFFIXES else None
    if not path.is_file():
        return "is a link that leads nowhere" if path.is_symlink() else "is no plain file"
    if suffix in (".txt", ".csv", ".json") or path.name.lower() in _IGNORED:
        return None
    return f"is no image ({', '.join(sorted(SUFFIXES))})"


def first_file(folders: Iterable[Path], names: Iterable[str]) -> Path | None:
    """Return the first file of these names in the first folder that has one."""
    wanted = list(names)
    return next((folder / name for folder in folders for name in wanted if (folder / name).is_file()), None)


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file with a header, keys in lower case. Raise UserError as `open_table` does."""
    return open_table(path).rows


def open_table(path: Path) -> Table:
    """Read a CSV file with a header; cells that a row lacks are "".

    Raise UserError when it is not UTF-8 or no CSV, and for rows with text beyond the last column, where a comma was meant
    as text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            numbered = [(reader.line_num, cells) for cells in reader if cells]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; save it as CSV in UTF-8") from error
    except (csv.Error, OSError) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}; check its quotes") from error
    if longer := [str(line) for line, cells in numbered if any(cell.strip() for cell in cells[len(header) :])]:
        more = ", ..." if len(longer) > _SHOWN else ""
        raise UserError(
            f"{path} has more cells than its {len(header)} columns in line {', '.join(longer[:_SHOWN])}{more}; "
            'put "quotes" around text that holds a comma'
        )
    rows = [dict(zip_longest(header, cells[: len(header)], fillvalue="")) for _, cells in numbered]
    return Table(tuple(header), rows, [line for line, _ in numbered])
