"""Precision and recall of generated images by nearest neighbours (Kynkaanniemi et al. 2019)."""

from __future__ import annotations

import numpy as np

from pipeline.core.distances import CentredPoints, blocks, neighbour_distances
from pipeline.methods.measures import MeasuredSets, measure


@measure(
    "precision",
    title="Precision",
    note="Share of images that could be real",
    better="higher",
    source="within the reach of `neighbours` real images; Kynkaanniemi et al. 2019",
    pages=("plots",),
)
def _precision(sets: MeasuredSets) -> float:
    return share_inside(sets.near_one_each, sets.near_real, sets.params.neighbours)


@measure(
    "recall",
    title="Recall",
    note="Share of the real variety that is still drawn",
    better="higher",
    source="within the reach of `neighbours` drawn images; Kynkaanniemi et al. 2019",
    pages=("compare", "table", "summary", "plots"),
    heading="recall_K",
    from_zero=True,
)
def _recall(sets: MeasuredSets) -> float:
    return share_inside(sets.near_real, sets.near_one_each, sets.params.neighbours)


def share_inside(features: np.ndarray, manifold: np.ndarray, neighbours: int = 5) -> float:
    """Return the share of `features` [N,d], 0..1, that lie in the manifold of `manifold` [M,d] (sec. 3, eq. 1-2).

    That of generated images in the real manifold is their precision, that of real images in the generated one the recall.
    A manifold is the union of balls around its images, each reaching to the image's `neighbours`-th neighbour. "Inside" is
    strict (<): a set collapsed to one point has balls of radius 0 and recalls nothing. Raises ValueError unless each set has
    more than `neighbours` images.
    """
    if min(len(features), len(manifold)) <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more images than that, got {len(features)} and {len(manifold)}")
    balls, radii = CentredPoints(manifold), neighbour_distances(manifold, neighbours)
    points = CentredPoints(features, balls.centre)
    inside = np.zeros(len(points), dtype=bool)
    for rows in blocks(len(points)):
        for columns in blocks(len(balls)):
            inside[rows] |= (points.to(balls, rows, columns) < radii[columns]).any(axis=1)
    return float(inside.mean())
