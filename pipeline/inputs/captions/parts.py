"""parts.jsonl: what each caption is made of, so that another prompt set, rule or threshold asks no model again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl, write_jsonl

NAME = "parts.jsonl"
Score = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Tag = tuple[str, Score, str]
"""Name, score of 0..1, and general or character."""


@dataclass
class Parts:
    """All that is known of one image."""

    name: str
    file: str
    """The image's file name in the folder."""
    sha256: str
    """Of the raw file."""
    prepared: str = ""
    """How the image was made of the raw file: "512 crop", or "" for a copy."""
    title: str = ""
    species: str = ""
    description: str = ""
    attributes: tuple[str, ...] = ()
    blip: dict[str, str] = field(default_factory=dict)
    """Text of each window, by its label."""
    tags: tuple[Tag, ...] | None = None
    """In the order of the tagger's list, most frequent first; None: never tagged."""
    made_by: dict[str, str] = field(default_factory=dict)
    """Which model made the part: blip, tagger."""
    corrections: dict[str, str] = field(default_factory=dict)
    """By hand (--overrides), of what holds for every caption: tags, add_tags, remove_tags, title, species, description."""
    thresholds: tuple[Score, Score] | None = None
    """Scores from which a general tag and a character's counted when `caption` was made."""
    caption: str = ""
    """What was last written beside the image."""
    replaces: str = ""
    """The caption before that one, while captions are being written: a run that is stopped then has left either."""


_ROWS = TypeAdapter(Parts)


def load(folder: Path) -> dict[str, Parts]:
    """Read {name: parts} of a folder; empty when it has none. Raise UserError for a damaged file."""
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        rows = read_jsonl(path, ("name", "file", "sha256"))
    except UserError as error:
        what = str(error).partition("; ")[0]
        raise UserError(f"{what}; delete the line (or the file), and 'redifine caption' makes its parts again") from error
    return {row["name"]: _parts(path, row) for row in rows}


def save(folder: Path, rows: Iterable[Parts]) -> None:
    write_jsonl(folder / NAME, (vars(row) for row in rows))


def _parts(path: Path, row: dict[str, Any]) -> Parts:
    try:
        return _ROWS.validate_python(row)
    except ValidationError as error:
        raise UserError(
            f"{path} has a damaged row for {row['name']!r}; delete the row, and its parts are made again"
        ) from error
