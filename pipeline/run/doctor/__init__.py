"""What this machine and checkout lack for a run, and what to do about it: functions that each return a CheckResult.

hardware      GPU, driver, torch, xformers, bitsandbytes, compiler, disk, whether it can be written to
project       params.yaml, python on the path, packages, model, sd-scripts, what a killed experiment left
git_and_dvc   Git, DVC remotes, cache
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.core.errors import UserError

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


def looked_at(subject: str, check: Callable[..., CheckResult | list[CheckResult]], *arguments: Any) -> list[CheckResult]:
    """Return what a check finds; what keeps it from looking (permissions, a full or failing disk) is a problem it has found."""
    try:
        found = check(*arguments)
    except UserError as error:
        return [problem(subject, str(error), "")]
    except OSError as error:
        return [problem(subject, f"cannot be looked at: {error}", "fix that, and run 'redifine doctor' again")]
    return found if isinstance(found, list) else [found]
