"""Precision and recall of generated images by nearest neighbours (Kynkaanniemi et al. 2019)."""

from __future__ import annotations

import numpy as np

_BLOCK = 1024


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


def share_inside(points: np.ndarray, manifold: np.ndarray, neighbours: int) -> float:
    """The share of `points` [N,d] strictly inside a ball of `manifold` [M,d]."""
    squared_radii = _squared_radii(manifold, neighbours)
    inside = [(squared_distances(block, manifold) < squared_radii).any(axis=1) for block in _blocks(points)]
    return float(np.concatenate(inside).mean())


def _squared_radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance of each point [M,d] to its `neighbours`-th neighbour, itself not counted -> [M]."""
    radii = []
    for start, block in zip(range(0, len(points), _BLOCK), _blocks(points), strict=True):
        distances = squared_distances(block, points)
        distances[np.arange(len(block)), start + np.arange(len(block))] = -1.0
        radii.append(np.partition(distances, neighbours, axis=1)[:, neighbours])
    return np.concatenate(radii)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[n,d], [m,d] -> [n,m] float64, exactly 0 between equal rows."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    distances = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2.0 * (a @ b.T)
    # The expansion loses about 1e-16 of the norms: where that matters, subtract before squaring.
    doubtful = distances < 1e-6 * (np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None])
    # A row at a time: in a collapsed set every pair is doubtful, and all their differences would not fit in memory.
    for row in np.flatnonzero(doubtful.any(axis=1)):
        columns = doubtful[row]
        distances[row, columns] = np.square(a[row] - b[columns]).sum(1)
    return distances


def _blocks(points: np.ndarray) -> list[np.ndarray]:
    return [points[i : i + _BLOCK] for i in range(0, len(points), _BLOCK)]
