"""From generalising to memorising: how far drawn images keep from the training set, and how widely sets spread.

Both from arXiv 2509.16499: a falling entropy of the training set goes with a falling generalisation score.
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, gammaln

from pipeline.core.distances import CentredPoints, nearest_of, neighbour_distances

_COPY_SHARE = 1e-3


def generalisation_score(generated: np.ndarray, training: np.ndarray) -> float:
    """[N,d], [M,d] -> GS, the mean distance from a generated image to the nearest training image; 0 for copies.

    Raises ValueError when a set is empty.
    """
    if min(len(generated), len(training)) == 0:
        raise ValueError(f"the score needs images in both sets, got {len(generated)} and {len(training)}")
    return float(nearest_of(CentredPoints(generated), training).mean(dtype=np.float64))


def copy_distance(real: np.ndarray) -> float:
    """[M,d] of the real images -> the distance below which two images count as copies: 1/1000 of the median distance of
    a real image to its nearest neighbour. Raises ValueError below two images."""
    if len(real) < 2:
        raise ValueError(f"the nearest neighbour needs at least 2 images, got {len(real)}")
    return _COPY_SHARE * float(np.median(neighbour_distances(real)))


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
    eps = np.maximum(neighbour_distances(features, gamma).astype(np.float64), copy)
    if not eps.all():
        return None
    log_ball = dimension / 2 * np.log(np.pi) - gammaln(dimension / 2 + 1)
    return float(digamma(count) - digamma(gamma) + log_ball + dimension * np.log(eps).mean())
