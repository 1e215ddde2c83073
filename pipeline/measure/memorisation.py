"""From generalising to memorising: how far drawn images keep from the training set, and how widely sets spread.

Both from arXiv 2509.16499: a falling entropy of the training set goes with a falling generalisation score.
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, gammaln

from pipeline.measure.neighbours import squared_distances

_BLOCK = 1024


def generalisation_score(generated: np.ndarray, training: np.ndarray) -> float:
    """[N,d], [M,d] -> GS, the mean distance from a generated image to the nearest training image; 0 for copies.

    Raises ValueError when a set is empty.
    """
    if min(len(generated), len(training)) == 0:
        raise ValueError(f"the score needs images in both sets, got {len(generated)} and {len(training)}")
    return float(_nearest(generated, training, 1, same=False).mean())


def entropy(features: np.ndarray, gamma: int = 1) -> float | None:
    """[N,d] -> differential entropy in nats by Kozachenko and Leonenko: psi(N) - psi(gamma) + log c_d + d mean(log eps).

    eps is the distance to the `gamma`-th neighbour, c_d the volume of the unit ball. Where images coincide eps is 0 and
    the logarithm has no bound: such an image counts with the smallest positive eps of the set instead, so that copies
    lower the entropy as much as the set's closest pair does. None when all eps are 0: the set has collapsed.
    Raises ValueError unless there are more than `gamma` rows.
    """
    count, dimension = features.shape
    if count <= gamma:
        raise ValueError(f"neighbour {gamma} needs more images than that, got {count}")
    eps = _nearest(features, features, gamma, same=True)
    positive = eps[eps > 0]
    if len(positive) == 0:
        return None
    log_eps = np.log(np.maximum(eps, positive.min()))
    log_ball = dimension / 2 * np.log(np.pi) - gammaln(dimension / 2 + 1)
    return float(digamma(count) - digamma(gamma) + log_ball + dimension * log_eps.mean())


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
