"""What the layouts share: where the pictures are, which files are pictures, tables beside them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from pipeline.datasets.items import Problem
from pipeline.datasets.pictures import SUFFIXES
from pipeline.errors import UserError

_IGNORED = frozenset({"readme.md", "readme.txt", ".gitignore", ".ds_store", "thumbs.db", "desktop.ini", "parts.jsonl"})


def home(folder: Path, candidates: Iterable[str]) -> Path:
    """The first of `candidates` below `folder` that holds a picture. Raises UserError when none does."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that holds the raw data set (docs/datasets.md shows its tree)")
    tried = list(candidates)
    for candidate in tried:
        place = folder / candidate
        if place.is_dir() and any(is_picture(path) for path in place.iterdir()):
            return place
    places = ", ".join(candidate or "." for candidate in tried)
    raise UserError(f"{folder} holds no picture in any of {places}; docs/datasets.md shows the tree that is expected there")


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def pictures(folder: Path, problems: list[Problem]) -> list[Path]:
    """Pictures directly in `folder`, in order of name; another file there that nothing explains becomes a problem."""
    found = []
    for path in sorted(folder.iterdir()):
        if is_picture(path):
            found.append(path)
        elif path.is_file() and path.suffix.lower() not in (".txt", ".csv", ".json") and path.name.lower() not in _IGNORED:
            problems.append(Problem(path.name, f"is no picture ({', '.join(sorted(SUFFIXES))})"))
        elif path.is_symlink() and not path.exists():
            problems.append(Problem(path.name, "is a link that leads nowhere"))
    return found


def first_file(folders: Iterable[Path], names: Iterable[str]) -> Path | None:
    """The first file of these names in the first folder that has one."""
    wanted = list(names)
    return next((folder / name for folder in folders for name in wanted if (folder / name).is_file()), None)


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header, keys in lower case. Raises UserError when it is not UTF-8, or no table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; save it as CSV in UTF-8") from error
    except (csv.Error, OSError) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}") from error
    return [
        {(key or "").strip().lower(): (value or "") for key, value in row.items() if isinstance(value, str)} for row in rows
    ]
