"""The pictures of docs/results.md and of the README's first screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from docs.writers.tables import DEFAULT, FOLDER, STUDY
from pipeline.charts.svg_file import standalone
from pipeline.core.files import write_text
from pipeline.core.images import load_image
from pipeline.studies.compare.figures import curves, entropy_figure, trade_off
from pipeline.studies.compare.groups import Setting

CURVES = {"fid": "FID", "recall": "recall", "power_ratio": "high-frequency power, S_k / S_0",
          "generalisation_score": "generalisation score"}  # fmt: skip
MAIN_ARMS = ("cfg1", "cfg2.5", "cfg7.5", "redifine")
FIRST_SCREEN_ROWS = 3


def draw(study: Sequence[Setting], default: Sequence[Setting], root: Path = Path()) -> None:
    """Write the figures that the page shows, each a file of its own, into the project at `root`."""
    folder = root / FOLDER
    write_text(folder / "trade-off.svg", standalone(trade_off(study), len(study)))
    for sweep, found in ((STUDY, study), (DEFAULT, default)):
        # In one order, so that an arm has one colour in all of them.
        settings = sorted((s for s in found if s.name in MAIN_ARMS), key=lambda setting: MAIN_ARMS.index(setting.name))
        names = [setting.name for setting in settings]
        for metric in CURVES:
            write_text(folder / f"{sweep.stem}-{metric}.svg", standalone(curves(settings, metric), len(settings), names))
    if figure := entropy_figure(study):
        write_text(folder / "entropy.svg", standalone(figure.svg, len(study), [setting.name for setting in study]))


def first_screen(root: Path = Path()) -> np.ndarray:
    """The README's picture: some prompts at guidance 7.5 above the same under ReDiFine -> [H,W,3] uint8."""
    grids = [load_image(root / picture(arm)) for arm in ("cfg7.5", "redifine")]
    halves = [grid[: grid.shape[0] * FIRST_SCREEN_ROWS // 8] for grid in grids]
    gap = np.full((10, halves[0].shape[1], 3), 255, np.uint8)
    whole = Image.fromarray(np.concatenate([halves[0], gap, halves[1]], axis=0))
    return np.asarray(whole.resize((2 * whole.width, 2 * whole.height), Image.Resampling.LANCZOS))


def picture(arm: str) -> Path:
    """The grid of an arm of the default preset, as `redifine sweep collect` draws it."""
    return FOLDER / f"{DEFAULT.stem}-{arm}.png"
