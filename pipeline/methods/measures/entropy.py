"""How widely a set spreads in feature space (arXiv 2509.16499): a falling entropy of the training set goes with memorising."""

from __future__ import annotations

import numpy as np

from pipeline.core.distances import neighbour_distances
from pipeline.methods.measures import MeasuredSets, measure

_COPY_SHARE = 1e-3


@measure(
    "copy_distance",
    title="Copy distance",
    note="Below it two images count as the same, in the entropy",
    source="1/1000 of the real images' median neighbour distance",
    sets="real",
    pages=(),
)
def _copy_distance(sets: MeasuredSets) -> float:
    return copy_distance(sets.near_real)


@measure(
    "entropy",
    title="Entropy",
    note="Kozachenko-Leonenko estimate for D_k: falling means sameness",
    better="higher",
    unit="nats",
    source="arXiv 2509.16499",
    sets="both",
    pages=("compare", "plots"),
)
def _entropy(sets: MeasuredSets) -> float | None:
    return entropy(sets.near_one_each, sets.of_real["copy_distance"])


@measure(
    "entropy_training",
    title="Entropy of the training set",
    note="Kozachenko-Leonenko estimate for T_k",
    better="higher",
    unit="nats",
    source="arXiv 2509.16499",
    pages=("plots",),
)
def _entropy_training(sets: MeasuredSets) -> float | None:
    return entropy(sets.near_training, sets.of_real["copy_distance"])


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
    from scipy.special import digamma, gammaln

    count, dimension = features.shape
    if count <= gamma:
        raise ValueError(f"neighbour {gamma} needs more images than that, got {count}")
    eps = np.maximum(neighbour_distances(features, gamma).astype(np.float64), copy)
    if not eps.all():
        return None
    log_ball = dimension / 2 * np.log(np.pi) - gammaln(dimension / 2 + 1)
    return float(digamma(count) - digamma(gamma) + log_ball + dimension * np.log(eps).mean())
