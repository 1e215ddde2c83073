"""What every layout gives: images with what their owner says of them, and problems by file name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import UserError, printable


@dataclass(frozen=True)
class CaptionFile:
    """What a caption's file or table says, on one line; `fault` is why that is no caption, "" for nothing."""

    path: Path
    text: str = ""
    fault: str = ""


@dataclass(frozen=True)
class RawItem:
    """One image of a raw set; `name` is its file name in the folder that is made of it, without suffix."""

    name: str
    path: Path
    title: str = ""
    """What is on the image by name: Bulbasaur."""
    species: str = ""
    description: str = ""
    attributes: tuple[str, ...] = ()
    label: str = ""
    """How messages name it, where its file's name is not enough."""
    caption: CaptionFile | None = None
    """What its owner says of it elsewhere than in a file beside it."""

    @property
    def shown(self) -> str:
        return self.label or self.path.name


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with one file; the file is left out, or lacks something, and the rest goes on."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{printable(self.file)} {self.reason}"


@dataclass
class RawListing:
    """A raw folder as its layout reads it."""

    items: list[RawItem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """What was left out on purpose."""
    litter: list[str] = field(default_factory=list)
    """What systems and programs leave behind, and nobody means."""
    is_flat: bool = True
    """Whether captions can be written beside the images: they lie in one folder, and no table has their captions."""


def listed(problems: Sequence[object], most: int = 20, where: str = "") -> str:
    """Join problems as the end of a sentence, shortened; `where` says what has all of them."""
    more = f"; and {len(problems) - most} more{where}" if len(problems) > most else ""
    return "; ".join(map(str, problems[:most])) + more


def require_no_problems(problems: Iterable[Problem], where: Path, log: Path | None = None) -> None:
    """Raise UserError with the list, shortened, when there is any problem; `log` is the file that has all of it."""
    if found := sorted(problems):
        shown = listed(found, where=f" (all are in {log})" if log else "")
        raise UserError(f"{where} has {len(found)} problem(s), fix them or leave out --strict: {shown}")
