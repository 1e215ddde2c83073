"""The prompt sets of C.4 from a folder's parts.jsonl, without a model: tags only, short or long text."""

from __future__ import annotations

from pathlib import Path

from pipeline.captions import parts
from pipeline.captions.combine import compose
from pipeline.captions.rules import RULES, Thresholds, prompt_set
from pipeline.errors import UserError

_OPTION = {"tags": "--form tags", "short": "--all-forms", "long": "--all-forms"}


def captions_of(folder: Path, form: str, thresholds: Thresholds | None = None) -> dict[str, str]:
    """{picture's name without suffix: caption} of the prompt set `form`: tags, short or long.

    Raises UserError when parts.jsonl is missing, or lacks the part for some picture.
    """
    rows = parts.load(folder)
    if not rows:
        raise UserError(f"prompt_form {form} needs {folder / parts.NAME}; make it with 'redifine caption' (docs/datasets.md)")
    rule = prompt_set(RULES["folder"], form)
    found = {name: compose(row, rule, thresholds or Thresholds()) for name, row in rows.items()}
    lacking = sorted(name for name, caption in found.items() if not caption)
    if lacking:
        raise UserError(
            f"prompt_form {form}: {len(lacking)} pictures of {folder} have no such part ({lacking[0]}, ...); "
            f"run 'redifine caption' again with {_OPTION.get(form, '--form full')}"
        )
    return found
