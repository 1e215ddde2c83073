"""The map of D_0..D_K: each image a point, similar images near one another (Fig. 3b)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from pipeline.charts import svg
from pipeline.report.figures import Figure
from pipeline.report.finished_chain import FinishedChain

MOST_POINTS = 2000
"""More take long to place and cannot be told apart; whole prompts are left out then, evenly over the prompts."""

FRAME = svg.Frame(720, 660, 14, 14, 706, 646)


def projection_figure(chain: FinishedChain) -> Figure:
    """Draw a t-SNE of one image per prompt and k, in the colours of the iterations; page.js names the one pointed at."""
    from pipeline.charts.embedding import tsne

    rows = prompt_rows(chain.manifests, MOST_POINTS)
    sets = [chain.features(k)[chosen] for k, chosen in enumerate(rows)]
    # The limit is met already: prompts stay whole, and the points in their order.
    points = tsne(sets, limit=sum(len(chosen) for chosen in rows)) if rows[0] else []
    prompts = [(int(row["prompt_index"]), row["prompt"]) for row in (chain.manifests[0][i] for i in rows[0])]
    return Figure(
        "The sets in one map",
        "Each point is an image (t-SNE of the features): near means alike, the axes mean nothing. Colours that part from the "
        "real ones’ have drifted, a clump is sameness; the large dots on a line are the sets’ middles. "
        "Point at an image to see its family, select it to open it.",
        draw_map(points, prompts),
        paper="Fig. 3b",
        kind="map",
    )


def prompt_rows(manifests: Sequence[Sequence[dict[str, Any]]], most: int) -> list[list[int]]:
    """Choose for each D_k the rows of the same prompts' first images: of all prompts that no D_k lacks, or an even choice."""
    first: list[dict[int, int]] = []
    for manifest in manifests:
        ordered = sorted(range(len(manifest)), key=lambda i: -manifest[i].get("image_index", 0))
        first.append({int(manifest[i]["prompt_index"]): i for i in ordered})
    common = sorted(set.intersection(*(set(rows) for rows in first)))
    count = min(len(common), max(most // len(manifests), 1))
    chosen = [common[i * len(common) // count] for i in range(count)]
    return [[rows[prompt] for prompt in chosen] for rows in first]


def draw_map(points: Sequence[np.ndarray], prompts: Sequence[tuple[int, str]]) -> Markup:
    """Draw positions [N,2] of D_0..D_K, row i of each for `prompts`[i] = (index, prompt), as a path for each set;
    and a line through the sets' middles.
    """
    if not points:
        return Markup('<p class="empty">No prompt has an image in every iteration.</p>')
    placed = _fit(points)
    sets = [_dots(k, positions) for k, positions in enumerate(placed)]
    middles = [(float(x), float(y)) for x, y in (np.median(positions, axis=0) for positions in placed)]
    dot = Markup('<circle class="middle" style="--c: var(--k{})" cx="{:.1f}" cy="{:.1f}" r="7"/>')
    drift = [svg.polyline("drift", middles), *(dot.format(k, x, y) for k, (x, y) in enumerate(middles))]
    data = json.dumps(prompts, ensure_ascii=False, separators=(",", ":"))
    return svg.element(FRAME, "Map of all images", [*sets, *drift], Markup(' data-map="{}"').format(data))


def _fit(points: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Centre the positions in the drawing, both axes on one scale."""
    everything = np.concatenate(points)
    low, high = everything.min(axis=0), everything.max(axis=0)
    room = np.array([FRAME.right - FRAME.left, FRAME.bottom - FRAME.top])
    scale = (room / np.maximum(high - low, 1e-9)).min()
    return [np.array([FRAME.width, FRAME.height]) / 2 + (positions - (low + high) / 2) * scale for positions in points]


def _dots(k: int, positions: np.ndarray) -> Markup:
    """Draw a path of strokes without length: their round ends are the points, at a fifth of the text of as many circles."""
    path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in positions)
    return Markup('<path class="dots" data-k="{}" style="--c: var(--k{})" d="{}"/>').format(k, k, path)
