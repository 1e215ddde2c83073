"""CSV files with a header, as people and spreadsheets write them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import decode_text

_SHOWN = 5
_SEPARATORS = ",;\t"
"""Of these, the first that the header has separates cells; spreadsheets write semicolons where a comma is the decimal point."""


@dataclass(frozen=True)
class Table:
    """A CSV file: the names of its columns in lower case, and of each row its cells by column and its line in the file."""

    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file with a header, keys in lower case. Raise UserError as `open_table` does."""
    return open_table(path).rows


def open_table(path: Path) -> Table:
    """Read a CSV file with a header; cells that a row lacks are "".

    Raise UserError when it is not UTF-8 or no CSV, and for rows with text beyond the last column, where a comma was meant
    as text.
    """
    try:
        text = decode_text(path.read_bytes())
        first = text.partition("\n")[0]
        separator = next((mark for mark in _SEPARATORS if mark in first), ",")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
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
