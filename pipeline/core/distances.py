"""Distances between features, block by block: exactly 0 between copies, and the same whatever the block's shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 512
_CENTRED_ROWS = 20_000
_SAME = 1e-12
"""Below this share of the squared norms a squared distance is rounding error: the features are float32 themselves."""


class CentredPoints:
    """Features [N,d] moved to their mean so that a common offset costs no precision, with squared norms [N].

    Large sets stay in float32, and only the rows at hand are centred, in float64: the same numbers in a third of the memory.
    """

    def __init__(self, features: np.ndarray, centre: np.ndarray | None = None) -> None:
        self.centre: np.ndarray = features.mean(axis=0, dtype=np.float64) if centre is None else centre
        self._features = features
        self._centred = features - self.centre if len(features) <= _CENTRED_ROWS else None
        self.norms: np.ndarray = np.empty(len(features))
        for rows in blocks(len(features)):
            values = self.values(rows)
            self.norms[rows] = np.einsum("nd,nd->n", values, values)

    def __len__(self) -> int:
        return len(self._features)

    def values(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return centred rows [n,d] float64."""
        return self._features[rows] - self.centre if self._centred is None else self._centred[rows]

    def to(self, others: CentredPoints, rows: slice | np.ndarray, columns: slice | np.ndarray) -> np.ndarray:
        """Return distances [n,m] float32 between `rows` of these points and `columns` of the others, which share their centre.

        Rounded from float64, so that two equal distances stay equal however a matrix product was cut into pieces.
        """
        norms = self.norms[rows, None] + others.norms[None, columns]
        squares = self.values(rows) @ others.values(columns).T
        squares *= -2.0
        squares += norms
        squares[squares <= _SAME * norms] = 0.0
        return np.sqrt(squares, out=squares).astype(np.float32)


def blocks(count: int) -> Iterator[slice]:
    """Cut 0..count into slices of at most BLOCK."""
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


def lower_to_nearest(nearest: np.ndarray, points: CentredPoints, others: CentredPoints, columns: slice | np.ndarray) -> None:
    """Lower `nearest` [N], in place, to the distance from each point to the nearest of `columns` of the others."""
    for rows in blocks(len(points)):
        np.minimum(nearest[rows], points.to(others, rows, columns).min(axis=1), out=nearest[rows])


def nearest_of(points: CentredPoints, others: np.ndarray | None) -> np.ndarray:
    """Return the distance [N] float32 from each point to the nearest of `others` [M,d]; infinite when there are none."""
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    if others is not None:
        for part in blocks(len(others)):
            lower_to_nearest(nearest, points, CentredPoints(others[part], points.centre), slice(None))
    return nearest


def neighbour_distances(features: np.ndarray, neighbour: int = 1) -> np.ndarray:
    """Return the distance [N] float32 from each point of [N,d] to its `neighbour`-th nearest of the others, itself not counted.

    Raise ValueError unless there are more points than that.
    """
    if len(features) <= neighbour:
        raise ValueError(f"neighbour {neighbour} needs more points than that, got {len(features)}")
    points = CentredPoints(features)
    found = []
    for rows in blocks(len(points)):
        best = np.full((rows.stop - rows.start, neighbour), np.inf, dtype=np.float32)
        for columns in blocks(len(points)):
            between = points.to(points, rows, columns)
            if rows == columns:
                np.fill_diagonal(between, np.inf)
            best = np.partition(np.hstack([best, between]), neighbour - 1, axis=1)[:, :neighbour]
        found.append(best[:, -1])
    return np.concatenate(found)
