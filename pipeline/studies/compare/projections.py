"""One t-SNE map of D_0..D_K of all settings, drawn as a panel for each setting (Fig. 3b)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from markupsafe import Markup

from pipeline.charts.embedding import tsne
from pipeline.charts.points import Mark, PointChart, draw_points
from pipeline.core.errors import UserError
from pipeline.report.figures import Figure
from pipeline.studies.compare.groups import Setting
from pipeline.studies.compare.run_data import read_features
from pipeline.studies.compare.runs import ComparedRun

if TYPE_CHECKING:
    import numpy as np

POINTS = 2000
"""Points in all; t-SNE takes about their number squared, and nobody sees more."""


def projection_panels(settings: Sequence[Setting], runs: Sequence[ComparedRun]) -> list[Figure]:
    """Draw a panel for each setting, all in one map, colours by iteration, D_0 in ink.

    Raise UserError when features are missing, too few, or of different widths.
    """
    sets = [read_features(run) for run in runs]
    try:
        placed = tsne([features for chain in sets for features in chain], limit=POINTS)
    except ValueError as error:
        raise UserError(f"the map cannot be drawn: {error}") from error
    ends = list(accumulate(len(chain) for chain in sets))
    chains = [placed[end - len(chain) : end] for end, chain in zip(ends, sets, strict=True)]
    corners = _corners(placed)
    return [Figure(s.name, "", panel(chain, corners)) for s, chain in zip(settings, chains, strict=True)]


def _corners(placed: Sequence[np.ndarray]) -> list[Mark]:
    """Return two invisible points that give every panel the same scale."""
    low = [min(float(p[:, axis].min()) for p in placed) for axis in (0, 1)]
    high = [max(float(p[:, axis].max()) for p in placed) for axis in (0, 1)]
    return [Mark(low[0], low[1], "none", radius=0.0), Mark(high[0], high[1], "none", radius=0.0)]


def panel(chain: Sequence[np.ndarray], corners: Sequence[Mark] = ()) -> Markup:
    """Draw positions [n_k,2] of each D_k without axes: the map's coordinates mean nothing by themselves."""
    marks = [Mark(x, y, f"var(--k{k})", radius=2.6) for k, found in enumerate(chain) for x, y in found.tolist()]
    return draw_points(PointChart("t-SNE 1", "t-SNE 2", [*corners, *marks], axes=False, width=340, height=300))
