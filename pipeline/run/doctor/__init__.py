"""What this machine and checkout lack for a run, and what to do about it: functions that each return a CheckResult.

hardware      GPU, driver, torch, xformers, bitsandbytes, compiler, disk
project       params.yaml, python on the path, packages, model, sd-scripts, what a killed experiment left
git_and_dvc   Git, DVC remotes, cache
"""

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
