"""One map of several sets of features, by t-SNE (Fig. 3b)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERPLEXITY = 30.0


def tsne(features: Sequence[np.ndarray], seed: int = 0, limit: int = 2000) -> list[np.ndarray]:
    """Return positions [n_i,2] float64 of sets of features [N_i,d] in one common map, in units of the map's own.

    At most `limit` points in all: each set gives its share, spread evenly over its rows, so that sets of one length keep
    the same prompts. Starts from the principal components and runs on one thread: the same input gives the same map.
    Features that are all equal lie at the origin. Raise ValueError below 4 points, or when the sets differ in width.
    """
    kept = [_thinned(rows, len(rows) * limit // max(sum(map(len, features)), limit)) for rows in features]
    if len({rows.shape[1] for rows in kept}) != 1 or sum(map(len, kept)) < 4:
        raise ValueError(f"t-SNE needs 4 points of one width, got sets of shape {[rows.shape for rows in kept]}")
    points = np.concatenate(kept).astype(np.float64)
    positions = np.zeros((len(points), 2)) if np.ptp(points, axis=0).max() == 0 else _map(points, seed)
    return np.split(positions, np.cumsum([len(rows) for rows in kept])[:-1])


def _thinned(rows: np.ndarray, count: int) -> np.ndarray:
    """Return `count` rows (at least one) of [N,d], evenly spread from the first to the last."""
    return rows[np.linspace(0, len(rows) - 1, max(count, 1)).round().astype(int)]


def _map(points: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    with threadpool_limits(1):
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(points)
    return found.astype(np.float64)
