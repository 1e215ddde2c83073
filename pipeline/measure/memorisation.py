"""From generalising to memorising: how far drawn images keep from the training set, and how widely sets spread.

Both from arXiv 2509.16499: a falling entropy of the training set goes with a falling generalisation score.
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, gammaln

from pipeline.measure.neighbours import squared_distances

_BLOCK = 1024
_COPY_SHARE = 1e-3


def generalisation_score(generated: np.ndarray, training: np.ndarray) -> float:
    """[N,d], [M,d] -> GS, the mean distance from a generated image to the nearest training image; 0 for copies.

    Raises ValueError when a set is empty.
    """
    if min(len(generated), len(training)) == 0:
        raise ValueError(f"the score needs images in both sets, got {len(generated)} and {len(training)}")
    return float(_nearest(generated, training, 1, same=False).mean())


def copy_distance(real: np.ndarray) -> float:
    """[M,d] of the real images -> the distance below which two images count as copies: 1/1000 of the median distance of
    a real image to its nearest neighbour. Raises ValueError below two images."""
    if len(real) < 2:
        raise ValueError(f"the nearest neighbour needs at least 2 images, got {len(real)}")
    return _COPY_SHARE * float(np.median(_nearest(real, real, 1, same=True)))


def entropy(features: np.ndarray, copy: float = 0.0, *, gamma: int = 1) -> float | None:
    """[N,d] -> differential entropy in nats by Kozachenko and Leonenko: psi(N) - psi(gamma) + log c_d + d mean(log eps).

    eps is the distance to the `gamma`-th neighbour, c_d the volume of the unit ball. Where images coincide eps is 0 and
    the logarithm has no bound: eps is at least `copy`, one distance for a whole chain, so that each copy lowers the
    entropy by as much. None where eps is 0 all the same, because `copy` is. Raises ValueError unless there are more
    than `gamma` rows.
    """
    count, dimension = features.shape
    if count <= gamma:
        raise ValueError(f"neighbour {gamma} needs more images than that, got {count}")
    eps = np.maximum(_nearest(features, features, gamma, same=True), copy)
    if not eps.all():
        return None
    log_ball = dimension / 2 * np.log(np.pi) - gammaln(dimension / 2 + 1)
    return float(digamma(count) - digamma(gamma) + log_ball + dimension * np.log(eps).mean())


def _nearest(points: np.ndarray, others: np.ndarray, gamma: int, same: bool) -> np.ndarray:
    """Distance [N] from each point to its `gamma`-th nearest of the others, itself not counted where the sets are the
    `same`. Two blocks of points at a time: memory does not grow with the sets."""
    distances = []
    for i in range(0, len(points), _BLOCK):
        block = points[i : i + _BLOCK]
        best = np.full((len(block), gamma), np.inf)
        for j in range(0, len(others), _BLOCK):
            squared = squared_distances(block, others[j : j + _BLOCK])
            if same and i == j:
                np.fill_diagonal(squared, np.inf)
            best = np.partition(np.hstack([best, squared]), gamma - 1, axis=1)[:, :gamma]
        distances.append(np.sqrt(best[:, -1]))
    return np.concatenate(distances)
