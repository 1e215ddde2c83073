"""The charts of a comparison, each with a sentence that says how to read it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from markupsafe import Markup

from pipeline.charts.colours import setting_colour
from pipeline.charts.embedding import tsne
from pipeline.charts.lines import Dots, Intervals, LineChart, Series, draw_lines, legend
from pipeline.charts.numbers import plus_minus
from pipeline.charts.points import Mark, PointChart, draw_points
from pipeline.charts.statistics import SeedMean, pareto_front, pearson
from pipeline.core.errors import UserError
from pipeline.methods.measures import MEASURES
from pipeline.report.figures import Figure
from pipeline.studies.compare.groups import Setting
from pipeline.studies.compare.runs import ComparedRun, read_features

if TYPE_CHECKING:
    import numpy as np

LONGEST_LABEL = 34

MOST_POINTS = 2000
"""Points in all; t-SNE takes about their number squared, and nobody sees more."""

SAME_FLOOR = 1e-5
"""Floors that differ by less than this share are one: tables keep six digits."""


def trade_off(settings: Sequence[Setting], width: int = 1100, height: int = 520) -> Markup:
    """Draw collapse rate against FID_1, with intervals, runs as thin marks, and the Pareto front of the means (Fig. 2, 6)."""
    placed = [(i, s, first, rate) for i, s in enumerate(settings) if (first := s.at("fid", 1)) and (rate := s.collapse_rate)]
    means = [(first.mean, rate.mean) for _, _, first, rate in placed]
    marks = [mark for index, setting, _, _ in placed for mark in _single_runs(index, setting)]
    marks += [_mark(index, setting, first, rate) for index, setting, first, rate in placed]
    front = [means[i] for i in pareto_front(means)]
    return draw_points(PointChart("FID₁", "collapse rate (FID per iteration)", marks, front, width=width, height=height))


def _single_runs(index: int, setting: Setting) -> list[Mark]:
    """Return a thin mark for each run that counts, where there are several."""
    if len(setting.full_length_runs) < 2:
        return []
    shade = setting_colour(index)
    found = [(run.name, run.value("fid", 1), run.collapse_rate) for run in setting.full_length_runs]
    return [Mark(x, y, shade, tip=name, radius=2.2, faint=True) for name, x, y in found if x is not None and y is not None]


def _mark(index: int, setting: Setting, first: SeedMean, rate: SeedMean) -> Mark:
    name = setting.name if len(setting.name) <= LONGEST_LABEL else setting.name[: LONGEST_LABEL - 1] + "…"
    tip = (
        f"{setting.name}: FID_1 {plus_minus(first)}, collapse rate {plus_minus(rate)}, {rate.n} seed{'s' if rate.n > 1 else ''}"
    )
    return Mark(first.mean, rate.mean, setting_colour(index), name, tip, first.half or 0.0, rate.half or 0.0, radius=5.5)


def available_metrics(settings: Sequence[Setting]) -> list[str]:
    """Return numbers that some run has at some k, sorted."""
    found = {name for s in settings for run in s.runs for k in range(run.last + 1) for name in run.metrics[k]} | set(MEASURES)
    return sorted(name for name in found - {"k", "n"} if any(s.at(name, k) for s in settings for k in range(s.last + 1)))


def over_k(settings: Sequence[Setting], metrics: Sequence[str] = ()) -> list[Figure]:
    """Draw one chart for each of `metrics`, by default the usual ones that were recorded (Fig. 3c, 33).

    Raise UserError for a metric that no run has.
    """
    known = available_metrics(settings)
    for name in metrics:
        if name not in known:
            raise UserError(f"--metric {name}: no run has it; the runs have {', '.join(known)}")
    usual = [key for key, measure in MEASURES.items() if "compare" in measure.pages]
    return [_figure(settings, name) for name in (metrics or [name for name in usual if name in known])]


def _figure(settings: Sequence[Setting], metric: str) -> Figure:
    measure = MEASURES.get(metric)
    title, note = (measure.title, measure.described()) if measure else (metric.replace("_", " "), "")
    dashed = " Dashed: two halves of the real images." if metric == "fid" else ""
    return Figure(title, note + dashed, curves(settings, metric))


def curves(settings: Sequence[Setting], metric: str, width: int = 540, height: int = 290) -> Markup:
    """Draw a metric over k: each setting's mean as a line; of several seeds the 95 % interval, and the runs as thin marks."""
    found = [[(k, value) for k in range(s.last + 1) if (value := s.at(metric, k))] for s in settings]
    lines = [
        Series(setting.name, [(k, value.mean) for k, value in points], setting_colour(i), markers=True)
        for i, (setting, points) in enumerate(zip(settings, found, strict=True))
    ]
    intervals = [[(k, value.low, value.high) for k, value in points if value.half is not None] for points in found]
    bands = [Intervals(points, setting_colour(i)) for i, points in enumerate(intervals) if len(points) > 1]
    dots = [Dots(_of_runs(setting, metric), setting_colour(i)) for i, setting in enumerate(settings) if len(setting.runs) > 1]
    from_zero = metric in MEASURES and MEASURES[metric].from_zero
    lines += _floors(settings) if metric == "fid" else []
    return draw_lines(
        LineChart("iteration k", lines, from_zero=from_zero, whole_x=True, width=width, height=height, bands=bands, dots=dots)
    )


def _of_runs(setting: Setting, metric: str) -> list[tuple[float, float]]:
    """Return (k, value) of every run."""
    values = [(k, run.value(metric, k)) for run in setting.runs for k in range(run.last + 1)]
    return [(float(k), value) for k, value in values if value is not None and math.isfinite(value)]


def _floors(settings: Sequence[Setting]) -> list[Series]:
    """Return the distance of two halves of the real images: one line where all settings share it, else one in each colour."""
    found = [(i, setting, floor.mean) for i, setting in enumerate(settings) if (floor := setting.at("fid_floor", 1))]
    if not found:
        return []
    low, high = min(floor for _, _, floor in found), max(floor for _, _, floor in found)
    if high - low <= SAME_FLOOR * high:
        last = max(setting.last for setting in settings)
        return [Series("real vs real", [(1, found[0][2]), (last, found[0][2])], "var(--quiet)", dashed=True)]
    return [
        Series(f"real vs real, {setting.name}", [(1, floor), (setting.last, floor)], setting_colour(i), dashed=True)
        for i, setting, floor in found
    ]


def key(settings: Sequence[Setting]) -> Markup:
    """Draw the legend of all charts: a colour for each setting."""
    return legend([Series(setting.name, [], setting_colour(i)) for i, setting in enumerate(settings)])


def entropy_points(settings: Sequence[Setting]) -> list[tuple[int, str, float, float]]:
    """Return (setting, "run, k", entropy of T_k, ln GS_k) over all runs and k >= 1 that have both."""
    return [
        (i, f"{run.name}, k = {k}", entropy, math.log(score))
        for i, setting in enumerate(settings)
        for run in setting.runs
        for k in range(1, run.last + 1)
        if (entropy := run.value("entropy_training", k)) is not None
        and (score := run.value("generalisation_score", k))
        and score > 0.0
    ]


def entropy_figure(settings: Sequence[Setting], width: int = 1100, height: int = 460) -> Figure | None:
    """Draw entropy of the training set against the log generalisation score (arXiv 2509.16499); None without entropies."""
    points = entropy_points(settings)
    if not points:
        return None
    marks = [Mark(x, y, setting_colour(i), tip=name) for i, name, x, y in points]
    r = pearson([x for _, _, x, _ in points], [y for _, _, _, y in points])
    found = (
        f"Pearson’s r = {r:.2f} over {len(points)} points".replace("-", "−")
        if r is not None
        else "Too few points for a correlation"
    )
    note = (
        f"{found}: all runs and all k. In the second paper (r = 0.91) a training set of low entropy goes with images "
        "that repeat it (a low score)."
    )
    drawing = draw_points(PointChart("entropy of T_k, nats", "ln generalisation score", marks, width=width, height=height))
    return Figure("Entropy and generalisation", note, drawing)


def projection_panels(settings: Sequence[Setting], runs: Sequence[ComparedRun]) -> list[Figure]:
    """Draw a panel for each setting, all in one map, colours by iteration, D_0 in ink.

    Raise UserError when features are missing, too few, or of different widths.
    """
    sets = [read_features(run) for run in runs]
    try:
        placed = tsne([features for chain in sets for features in chain], limit=MOST_POINTS)
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
