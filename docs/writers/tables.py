"""The tables of the study as settings with their runs."""

from __future__ import annotations

import csv
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import read_text
from pipeline.studies.compare.groups import Setting, group_runs
from pipeline.studies.compare.runs import TableRow, runs_from_rows

FOLDER = Path("docs/results")
STUDY, DEFAULT = Path("sweeps/results.yaml"), Path("sweeps/default.yaml")


def table_of(sweep: Path) -> Path:
    """Where `redifine sweep collect` puts the table of a sweep."""
    return FOLDER / f"{sweep.stem}.csv"


def read_settings(table: Path) -> list[Setting]:
    """A collected table -> one setting per arm, its seeds together. Raises UserError where it is missing or no such table."""
    rows = []
    for number, line in enumerate(csv.DictReader(_collected(table).splitlines()), 2):
        try:
            numbers = {name: float(value) for name, value in line.items() if name not in ("arm", "seed", "k") and value}
            rows.append(TableRow(line["arm"], int(line["seed"]), int(line["k"]), numbers))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            remedy = "make the table again with 'redifine sweep collect'"
            raise UserError(f"{table}, line {number} must have arm, seed, k and numbers; {remedy}") from error
    if not rows:
        raise UserError(
            f"{table} has no rows; run chains with 'redifine sweep run' and collect them with 'redifine sweep collect'"
        )
    return group_runs(runs_from_rows(rows))


def _collected(table: Path) -> str:
    if not table.is_file():
        raise UserError(f"{table} does not exist; make it with 'redifine sweep collect' ('make results' runs the study, too)")
    return read_text(table)
