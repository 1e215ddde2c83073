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
class Claim:
    """What one file says, in `line` or by its own bytes, about something that other files speak of too."""

    path: str
    value: str
    line: int | None = None

    def __str__(self) -> str:
        return self.path if self.line is None else f"{self.path}, line {self.line}"


def disagreements(subject: str, claims: Sequence[Claim], sound: Mapping[str, bool]) -> Iterable[Finding]:
    """Findings about the files that are wrong about `subject` ("the sha256 of data/D_1/00003.png").

    Files that are what dvc.lock records are believed, else the majority, else the first claim.
    """
    believed = [claim for claim in claims if sound.get(claim.path)] or list(claims)
    usual = Counter(claim.value for claim in believed).most_common(1)[0][0]
    odd = [claim for claim in claims if claim.value != usual]
    witness = next(claim for claim in believed if claim.value == usual)
    for claim in [claim for claim in odd if not sound.get(claim.path)] or odd:
        place = "" if claim.line is None else f"line {claim.line}: "
        yield Finding(claim.path, "changed", f"{place}{subject} is not what {witness} says")
