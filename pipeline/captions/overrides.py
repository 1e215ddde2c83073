"""Corrections by hand, from a CSV file with a column `name` and a column for each part that is corrected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.datasets.items import Problem
from pipeline.datasets.layouts.files import read_table
from pipeline.errors import UserError

COLUMNS = ("name", "caption", "blip", "tags", "add_tags", "remove_tags", "title", "species", "description")
Override = Mapping[str, str]


def load(path: Path, names: Iterable[str]) -> tuple[dict[str, Override], list[Problem]]:
    """{picture: its cells that are not empty}, and the rows that belong to no picture.

    Raises UserError when the file is missing, or has an unknown column or no `name`.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; --overrides names a CSV file with the columns {', '.join(COLUMNS)}")
    rows = read_table(path)
    unknown = sorted({key for row in rows for key in row} - set(COLUMNS))
    if unknown or any("name" not in row for row in rows):
        raise UserError(
            f"{path} must have the column name and any of {', '.join(COLUMNS[1:])}, got {', '.join(unknown) or 'no name'}"
        )
    known, problems = set(names), []
    found: dict[str, Override] = {}
    for line, row in enumerate(rows, 2):
        name = row["name"].strip()
        if name not in known:
            problems.append(Problem(f"{path.name}, line {line}", f"names {name!r}, which is no picture of the set"))
        elif name in found:
            problems.append(Problem(f"{path.name}, line {line}", f"corrects {name} a second time"))
        else:
            found[name] = {key: value.strip() for key, value in row.items() if key != "name" and value.strip()}
    return found, problems
