"""The same prompts under every setting, side by side, as data URIs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from pipeline.charts.colours import setting_colour
from pipeline.charts.thumbnails import thumbnail
from pipeline.core.errors import UserError
from pipeline.core.images import IMAGE_ERRORS
from pipeline.studies.compare.groups import Setting
from pipeline.studies.compare.runs import ComparedRun, read_image, read_manifest

PROMPTS = 8
BUDGET = 18_000_000
"""Characters of data URIs that the page may take for pictures."""

Manifest = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class ColumnBlock:
    """Columns of the grid: a name and its colour, the run that stands for it, and the iterations shown."""

    name: str
    colour: str
    run: ComparedRun
    ks: tuple[int, ...]


@dataclass(frozen=True)
class PromptRow:
    """A prompt: `cells`[block][column] is a data URI, None where D_k has no image of it."""

    prompt: str
    cells: list[list[str | None]]


def representative_runs(settings: Sequence[Setting]) -> list[ComparedRun]:
    """Return a run for each setting: of the smallest seed that all of them have, else of each one's smallest."""
    shared = set.intersection(*({run.seed for run in setting.runs} for setting in settings))
    seed = min(shared, default=None)
    return [next((run for run in setting.runs if run.seed == seed), setting.runs[0]) for setting in settings]


def shown_iterations(last: int) -> tuple[int, ...]:
    """Return 0, 1, K/2 and K, each once."""
    return tuple(sorted({0, 1, max(1, last // 2), last}))


def side_by_side(
    settings: Sequence[Setting], runs: Sequence[ComparedRun], count: int = PROMPTS
) -> tuple[list[ColumnBlock], list[PromptRow]]:
    """Return a block of columns for each setting, and a row for each of `count` prompts that all of `runs` have, evenly spaced.

    D_0 has a block of its own when it is the same everywhere. Raise UserError when an image cannot be had.
    """
    manifests = {run.name: {k: _by_prompt(run, k) for k in shown_iterations(run.last)} for run in runs}
    shared = [prompt for prompt in manifests[runs[0].name][0] if all(prompt in found[0] for found in manifests.values())]
    blocks = _blocks(settings, runs, one_origin=all(found[0] == manifests[runs[0].name][0] for found in manifests.values()))
    prompt_rows: list[PromptRow] = []
    used = 0
    for prompt in _evenly_spaced(shared, count):
        cells = [[_image(block.run, k, manifests[block.run.name][k].get(prompt)) for k in block.ks] for block in blocks]
        used += sum(len(uri or "") for cell in cells for uri in cell)
        if prompt_rows and used > BUDGET:
            break
        prompt_rows.append(PromptRow(prompt, cells))
    return blocks, prompt_rows


def _blocks(settings: Sequence[Setting], runs: Sequence[ComparedRun], one_origin: bool) -> list[ColumnBlock]:
    real = [ColumnBlock("real", "var(--k0)", runs[0], (0,))] if one_origin else []
    return real + [
        ColumnBlock(setting.name, setting_colour(i), run, shown_iterations(run.last)[1 if one_origin else 0 :])
        for i, (setting, run) in enumerate(zip(settings, runs, strict=True))
    ]


def _by_prompt(run: ComparedRun, k: int) -> Manifest:
    """Return {prompt: row of its first image}."""
    found: Manifest = {}
    for row in sorted(read_manifest(run, k), key=lambda row: (row["prompt_index"], row["image_index"])):
        found.setdefault(row["prompt"], row)
    return found


def _evenly_spaced(prompts: Sequence[str], count: int) -> list[str]:
    """Return at most `count` of them, at equal distances."""
    take = min(count, len(prompts))
    return [prompts[i * len(prompts) // take] for i in range(take)]


def _image(run: ComparedRun, k: int, row: dict[str, Any] | None) -> str | None:
    return image_uri(read_image(run, k, row), f"{row['file']} of D_{k} of {run.name}") if row else None


def image_uri(content: bytes, name: str) -> str:
    """Return an image file as a data URI, as it is stored when it is small. Raise UserError when it is no image."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            return thumbnail(image.convert("RGB"), content)
    except IMAGE_ERRORS as error:
        raise UserError(f"{name} is not a readable image ({error}); make D_k again") from error
