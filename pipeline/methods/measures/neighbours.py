"""Precision and recall of generated images by nearest neighbours (Kynkaanniemi et al. 2019)."""

from __future__ import annotations

import numpy as np

from pipeline.core.distances import CentredPoints, blocks, neighbour_distances


def precision_recall(generated: np.ndarray, real: np.ndarray, neighbours: int = 5) -> tuple[float, float]:
    """[N,d], [M,d] -> (precision, recall), each a share in 0..1 (sec. 3, eq. 1-2).

    Precision: the share of generated images that lie in the real manifold; recall: the share of real images that lie
    in the generated manifold. A manifold is the union of balls around its images, each reaching to the image's
    `neighbours`-th neighbour. "Inside" is strict (<): a set collapsed to one point has balls of radius 0 and recalls
    nothing. Raises ValueError unless each set has more than `neighbours` images.
    """
    if min(len(generated), len(real)) <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more images than that, got {len(generated)} and {len(real)}")
    return share_inside(generated, real, neighbours), share_inside(real, generated, neighbours)


def share_inside(features: np.ndarray, manifold: np.ndarray, neighbours: int) -> float:
    """The share of `features` [N,d] strictly inside a ball of `manifold` [M,d]."""
    balls, radii = CentredPoints(manifold), neighbour_distances(manifold, neighbours)
    points = CentredPoints(features, balls.centre)
    inside = np.zeros(len(points), dtype=bool)
    for rows in blocks(len(points)):
        for columns in blocks(len(balls)):
            inside[rows] |= (points.to(balls, rows, columns) < radii[columns]).any(axis=1)
    return float(inside.mean())
