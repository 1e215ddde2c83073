"""Choose the images that keep a training set's entropy high (arXiv 2509.16499, section 4), on [N,d] features."""

from __future__ import annotations

import numpy as np

from pipeline.core.distances import BLOCK, CentredPoints, lower_to_nearest, nearest_of, neighbour_distances

_TAKEN = -1.0
"""Stands for the distance of a point that has been taken: below every distance."""


def greedy(features: np.ndarray, count: int, rng: np.random.Generator, chosen: np.ndarray | None = None) -> np.ndarray:
    """Farthest-point sampling: [N,d] float32 -> indices [count], in the order of the picks.

    Each pick is the point farthest from everything taken so far, the first in the pool where several are. What is taken
    starts as `chosen` [M,d], or as one random point when there is none. One distance row a pick, never [N,N]: the rows of
    several picks are computed together (see `_farthest`). Raise ValueError when `count` is not within 0..N.
    """
    _check(features, count, chosen)
    points = CentredPoints(features)
    nearest = nearest_of(points, chosen)
    picks: list[int] = []
    if count and (chosen is None or len(chosen) == 0):
        picks.append(int(rng.integers(len(points))))
        _take(points, nearest, np.array(picks))
    size = BLOCK
    while len(picks) < count:
        if nearest.max() <= 0.0:  # only copies are left, and each would cost a pass over the pool
            picks += np.flatnonzero(nearest != _TAKEN)[: count - len(picks)].tolist()
            break
        new = _farthest(points, nearest, size, count - len(picks))
        _take(points, nearest, new)
        picks += new.tolist()
        size = min(BLOCK, 4 * len(new))
    return np.array(picks, dtype=np.int64)


def _farthest(points: CentredPoints, nearest: np.ndarray, size: int, limit: int) -> np.ndarray:
    """The next picks of the greedy rule, at least one and at most `limit`, found among the `size` farthest points.

    Distances only fall as points are taken. So a point that is still farther than all points outside the block were at
    the start is the farthest of all.
    """
    ranked = np.argsort(-nearest, kind="stable")
    block = np.sort(ranked[:size])
    outside = nearest[ranked[size]] if size < len(ranked) else -np.inf
    between, left = points.to(points, block, block), nearest[block]
    picks: list[int] = []
    while len(picks) < limit:
        best = int(left.argmax())
        if picks and left[best] <= outside:
            break
        picks.append(best)
        np.minimum(left, between[best], out=left)
        left[best] = _TAKEN
    return block[picks]


def threshold_decay(
    features: np.ndarray,
    count: int,
    tau: float,
    decay: float,
    rng: np.random.Generator,
    chosen: np.ndarray | None = None,
) -> np.ndarray:
    """Threshold Decay Filter: [N,d] float32 -> indices [count], in the order of acceptance.

    Walk over the pool in one random order and accept a point when it is farther than `tau` from everything accepted and
    from `chosen` [M,d]; after each walk tau becomes decay * tau; stop at `count`. When only copies of accepted points are
    left, no tau would let them in: the first of them fill the rest. Raise ValueError when `count` is not within 0..N,
    tau is negative, or `decay` not between 0 and 1.
    """
    _check(features, count, chosen)
    if not (0.0 <= tau < np.inf and 0.0 < decay < 1.0):
        raise ValueError(f"tau must be >= 0 and decay between 0 and 1, got {tau} and {decay}")
    order = rng.permutation(len(features))
    points = CentredPoints(features[order])
    nearest = nearest_of(points, chosen)
    accepted: list[int] = []
    while len(accepted) < count:
        accepted += _walk(points, nearest, tau, count - len(accepted))
        farthest = float(nearest.max())
        if farthest <= 0.0:
            accepted += np.flatnonzero(nearest == 0.0)[: count - len(accepted)].tolist()
            break
        tau *= decay
        while tau >= farthest:  # walks that would accept nothing
            tau *= decay
    return order[accepted]


def _walk(points: CentredPoints, nearest: np.ndarray, tau: float, limit: int) -> list[int]:
    """One pass in order: accept up to `limit` points farther than `tau` from all accepted ones; `nearest` is kept current.

    Candidates are compared with what earlier blocks accepted through `nearest`, and among themselves through one matrix.
    """
    accepted: list[int] = []
    start = 0
    while len(accepted) < limit:
        block = start + np.flatnonzero(nearest[start:] > np.float64(tau))[:BLOCK]
        if len(block) == 0:
            break
        close = points.to(points, block, block) <= np.float64(tau)
        new = block[_first_come(close)][: limit - len(accepted)]
        _take(points, nearest, new)
        accepted += new.tolist()
        start = int(block[-1]) + 1
    return accepted


def _first_come(close: np.ndarray) -> list[int]:
    """Which of n candidates are accepted, in order, when `close` [n,n] says who keeps whom out."""
    accepted: list[int] = []
    kept_out = np.zeros(len(close), dtype=bool)
    for i in range(len(close)):
        if not kept_out[i]:
            accepted.append(i)
            kept_out |= close[i]
    return accepted


def _take(points: CentredPoints, nearest: np.ndarray, new: np.ndarray) -> None:
    """Mark `new` as taken and lower the others' distances to the nearest taken point."""
    lower_to_nearest(nearest, points, points, new)
    nearest[new] = _TAKEN


def starting_threshold(features: np.ndarray, quantile: float, chosen: np.ndarray | None = None) -> float:
    """tau_0: the `quantile` (0..1), over the points that may be chosen [N,d], of the distance to the nearest other image of the
    pool: another of them, or one of `chosen` [M,d], which is held already and keeps its neighbours out as well.

    Raise ValueError with fewer than two points, because they have no neighbour.
    """
    nearest = np.minimum(neighbour_distances(features), nearest_of(CentredPoints(features), chosen))
    return float(np.quantile(nearest, quantile))


def _check(features: np.ndarray, count: int, chosen: np.ndarray | None) -> None:
    if not 0 <= count <= len(features):
        raise ValueError(f"count must be within 0..{len(features)}, the size of the pool, got {count}")
    if chosen is not None and chosen.shape[1:] != features.shape[1:]:
        raise ValueError(f"chosen must have the pool's {features.shape[1]} dimensions, got shape {chosen.shape}")
