"""What an audit finds, and whom it believes when two files disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core.errors import printable

Kind = Literal["missing", "extra", "changed", "swapped", "damaged"]


@dataclass(frozen=True, order=True)
class Finding:
    """One file and what is wrong with it."""

    path: str
    kind: Kind
    detail: str

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.kind}: {self.detail}")


@dataclass(frozen=True)
class RecordedValue:
    """What one file says, in `line` or by its own bytes, about something that other files speak of too."""

    path: str
    value: str
    line: int | None = None

    def __str__(self) -> str:
        return self.path if self.line is None else f"{self.path}, line {self.line}"


def disagreements(subject: str, entries: Sequence[RecordedValue], verified: Mapping[str, bool]) -> Iterable[Finding]:
    """Return findings about the files that are wrong about `subject` ("the sha256 of data/D_1/00003.png").

    Files that are what dvc.lock records are believed, else the majority, else the first entry.
    """
    believed = [entry for entry in entries if verified.get(entry.path)] or list(entries)
    usual = Counter(entry.value for entry in believed).most_common(1)[0][0]
    odd = [entry for entry in entries if entry.value != usual]
    witness = next(entry for entry in believed if entry.value == usual)
    for entry in [entry for entry in odd if not verified.get(entry.path)] or odd:
        place = "" if entry.line is None else f"line {entry.line}: "
        yield Finding(entry.path, "changed", f"{place}{subject} is not what {witness} says")
