"""The prompt sets of C.4 from a folder's parts.jsonl, without a model: tags only, short or long text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.captions import parts
from pipeline.inputs.captions.combine import compose, corrected
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.captions.rules import RULES, Thresholds, prompt_set

_OPTION = {"tags": "--form tags", "short": "--all-forms", "long": "--all-forms"}


def captions_of(folder: Path, form: str) -> dict[str, str]:
    """{picture's name without suffix: caption} of the prompt set `form`: tags, short or long; pictures that lack the part
    are not in it.

    Thresholds and corrections by hand are those of the last `redifine caption`. Raises UserError when parts.jsonl is
    missing, or lacks the part for every picture.
    """
    rows = parts.load(folder)
    if not rows:
        raise UserError(f"prompt_form {form} needs {folder / parts.NAME}; make it with 'redifine caption' (docs/datasets.md)")
    found = {name: caption for name, row in rows.items() if (caption := _caption(row, form))}
    if not found:
        raise UserError(
            f"prompt_form {form}: no picture of {folder} has such a part in {parts.NAME}; "
            f"run 'redifine caption' again with {_OPTION.get(form, '--form full')}"
        )
    return found


def _caption(row: Parts, form: str) -> str:
    """The caption of one picture, "" without its part; a window in words goes before one in tokens."""
    thresholds = Thresholds(*row.thresholds) if row.thresholds else Thresholds()
    for unit in ("words", "tokens"):
        window = replace(RULES["folder"].window, unit=unit)
        rule = prompt_set(replace(RULES["folder"], window=window), form)
        if caption := compose(corrected(row, row.corrections, rule.window), rule, thresholds):
            return caption
    return ""
