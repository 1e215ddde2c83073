"""Put table, charts and images into one self-contained page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from pipeline.charts.colours import css_variables, setting_colour
from pipeline.charts.html import render_template
from pipeline.charts.numbers import plus_minus
from pipeline.core.errors import UserError
from pipeline.report.figures import Figure
from pipeline.report.page import STYLE
from pipeline.studies.compare.figures import entropy_figure, key, over_k, projection_panels, trade_off
from pipeline.studies.compare.groups import Setting, columns
from pipeline.studies.compare.image_columns import ColumnBlock, PromptRow, representative_runs, side_by_side

_HERE = Path(__file__).parent


@dataclass
class Comparison:
    """What the page shows; `notices` are sentences that a reader must know. Pictures and the map may be missing."""

    settings: list[Setting]
    notices: list[str]
    figures: list[Figure]
    entropy: Figure | None = None
    blocks: list[ColumnBlock] = field(default_factory=list)
    prompt_rows: list[PromptRow] = field(default_factory=list)
    panels: list[Figure] = field(default_factory=list)


def draw_comparison(settings: list[Setting], notices: Sequence[str] = (), metrics: Sequence[str] = ()) -> Comparison:
    """Draw everything that can be drawn; what lacks its files becomes a notice. Raise UserError for an unknown metric."""
    found = Comparison(settings, list(notices), over_k(settings, metrics), entropy_figure(settings))
    if any(run.source is None for setting in settings for run in setting.runs):
        return found
    runs = representative_runs(settings)
    try:
        found.blocks, found.prompt_rows = side_by_side(settings, runs)
    except UserError as error:
        found.notices.append(f"No pictures: {error}.")
    try:
        found.panels = projection_panels(settings, runs)
    except UserError as error:
        found.notices.append(f"No map: {error}.")
    return found


def table_values(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """Return the table as plain values, for --json: each measure as {mean, half, n} or None; runs by name and seed."""
    return [
        {
            "setting": setting.name,
            "K": setting.last,
            "runs": [{"name": run.name, "seed": run.seed, "K": run.last} for run in setting.runs],
            "measures": {name: vars(found) if (found := measure(setting)) else None for name, measure in columns().items()},
        }
        for setting in settings
    ]


def _table(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """Return rows for the template: text to read, and the mean to sort by."""
    rows = []
    for index, setting in enumerate(settings):
        found = [measure(setting) for measure in columns().values()]
        cells = [{"text": plus_minus(value), "mean": "" if value is None else repr(value.mean)} for value in found]
        members = ", ".join(f"{run.name} (seed {run.seed})" for run in setting.runs)
        counts = {"n": len(setting.runs), "last": setting.last, "runs": members}
        rows.append({"name": setting.name, "colour": setting_colour(index), "cells": cells, **counts})
    return rows


def _symbols(text: str) -> Markup:
    """Return the project's own words as HTML, with real subscripts: FID_K, D_k, S_K/S_0."""
    return Markup(re.sub(r"(?<=[A-Za-z])_([0-9Kk])(?![a-z])", r"<sub>\1</sub>", str(escape(text))))


def render_page(comparison: Comparison, title: str = "Runs compared") -> str:
    """Return the comparison as HTML."""
    settings = comparison.settings
    last = max(setting.last for setting in settings)
    return render_template(
        _HERE,
        STYLE.read_text(encoding="utf-8") + (_HERE / "page.css").read_text(encoding="utf-8"),
        {"symbols": _symbols},
        title=title,
        count=len(settings),
        runs=sum(len(setting.runs) for setting in settings),
        notices=comparison.notices,
        columns=list(columns()),
        table=_table(settings),
        several=any(len(setting.runs) > 1 for setting in settings),
        trade_off=trade_off(settings),
        key=key(settings),
        figures=comparison.figures,
        entropy=comparison.entropy,
        blocks=comparison.blocks,
        prompt_rows=comparison.prompt_rows,
        panels=comparison.panels,
        last=last,
        light=css_variables(len(settings), last, dark=False),
        dark=css_variables(len(settings), last, dark=True),
    )
