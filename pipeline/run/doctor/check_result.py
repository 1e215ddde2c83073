"""One result of a check: what was found, how bad it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class CheckResult:
    """`subject` was looked at and `found`; `remedy` is empty when nothing is to be done.

    A problem keeps `dvc repro` from running with the present params.yaml; a note does not.
    """

    subject: str
    level: Level
    found: str
    remedy: str = ""


def ok(subject: str, found: str) -> CheckResult:
    return CheckResult(subject, "ok", found)


def note(subject: str, found: str, remedy: str = "") -> CheckResult:
    return CheckResult(subject, "note", found, remedy)


def problem(subject: str, found: str, remedy: str) -> CheckResult:
    return CheckResult(subject, "problem", found, remedy)
