"""Corrections by hand, from a CSV file with a column `name` and a column for each part that is corrected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.csv_tables import Table, open_table
from pipeline.inputs.datasets.items import Problem

COLUMNS = ("name", "caption", "blip", "tags", "add_tags", "remove_tags", "title", "species", "description")
Override = Mapping[str, str]


def read(path: Path) -> Table:
    """Read the table. Raise UserError when the file is missing or no whole table, or has an unknown column or no `name`."""
    if not path.is_file():
        raise UserError(f"there is no file {path}; --overrides names a CSV file with the columns {', '.join(COLUMNS)}")
    table = open_table(path)
    unknown = sorted(column for column in table.columns if column not in COLUMNS and (column or _is_used(table, column)))
    if unknown or "name" not in table.columns or len(table.columns) > len(set(table.columns)):
        got = ", ".join(column or "one without a name" for column in unknown or table.columns)
        raise UserError(f"{path} must have the column name and any of {', '.join(COLUMNS[1:])}, each once, got {got or 'none'}")
    return table


def _is_used(table: Table, column: str) -> bool:
    return any(row[column].strip() for row in table.rows)


def of_images(table: Table, file: str, names: Iterable[str]) -> tuple[dict[str, Override], list[Problem]]:
    """Return {image: its cells that are not empty}, and what is wrong with the rows of `file`: they belong to no image."""
    known, problems = set(names), []
    found: dict[str, Override] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        name = row["name"].strip()
        if name not in known:
            problems.append(Problem(f"{file}, line {line}", f"names {name!r}, which is no image of the set"))
        elif name in found:
            problems.append(Problem(f"{file}, line {line}", f"corrects {name} a second time"))
        else:
            found[name] = {key: value.strip() for key, value in row.items() if key not in ("", "name") and value.strip()}
    if not table.rows:
        problems.append(Problem(file, "has no rows, so it corrects nothing"))
    return found, problems
