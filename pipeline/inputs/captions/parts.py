"""parts.jsonl: what each caption is made of, so that another prompt set, rule or threshold asks no model again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.guards import is_file_name
from pipeline.core.json_files import has_type, read_jsonl, write_jsonl

NAME = "parts.jsonl"
Tag = tuple[str, float, str]
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
    thresholds: tuple[float, float] | None = None
    """Scores from which a general tag and a character's counted when `caption` was made."""
    caption: str = ""
    """What was last written beside the image."""
    replaces: str = ""
    """The caption before that one, while captions are being written: a run that is stopped then has left either."""

    def row(self) -> dict[str, Any]:
        tags = None if self.tags is None else [list(tag) for tag in self.tags]
        thresholds = None if self.thresholds is None else list(self.thresholds)
        return vars(self) | {"attributes": list(self.attributes), "tags": tags, "thresholds": thresholds}


_TEXTS = ("name", "file", "sha256", "prepared", "title", "species", "description", "caption", "replaces")


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
    write_jsonl(folder / NAME, (parts.row() for parts in rows))


def _parts(path: Path, row: dict[str, Any]) -> Parts:
    texts = {key: row.get(key, "") for key in _TEXTS}
    blip, made_by, attributes = row.get("blip", {}), row.get("made_by", {}), row.get("attributes", [])
    tags, corrections, thresholds = row.get("tags"), row.get("corrections", {}), row.get("thresholds")
    whole = (
        all(isinstance(text, str) for text in (*texts.values(), *attributes))
        and isinstance(attributes, list)
        and all(_is_text_by_key(found) for found in (blip, made_by, corrections))
        and (thresholds is None or _are_two_scores(thresholds))
        and (tags is None or (isinstance(tags, list) and all(_is_tag(tag) for tag in tags)))
        and is_file_name(texts["file"])
    )
    if not whole:
        raise UserError(f"{path} has a damaged row for {row['name']!r}; delete the row, and its parts are made again")
    found = None if tags is None else tuple((name, float(score), kind) for name, score, kind in tags)
    least = None if thresholds is None else (float(thresholds[0]), float(thresholds[1]))
    return Parts(
        **texts, attributes=tuple(attributes), blip=blip, tags=found, made_by=made_by, corrections=corrections, thresholds=least
    )


def _is_text_by_key(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _are_two_scores(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(has_type(score, int | float) for score in value)


def _is_tag(tag: Any) -> bool:
    if not isinstance(tag, list) or len(tag) != 3:
        return False
    return isinstance(tag[0], str) and isinstance(tag[1], int | float) and isinstance(tag[2], str)
