"""The distribution of the last latents' values before decoding (section G.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

RANGE = (-6.0, 6.0)
BINS = 60


@dataclass(frozen=True)
class Distribution:
    """`density` [60] at `centres` [60] (per unit of latent value; what lies beyond -6..6 is missing from it),
    the variance, and the kurtosis (3 for a Gaussian, None when all values are equal)."""

    centres: np.ndarray
    density: np.ndarray
    variance: float
    kurtosis: float | None


def distribution(chunks: Iterable[np.ndarray]) -> Distribution:
    """Histogram and moments of all values in arrays of any shape, one array at a time.

    Raises ValueError when there is no value.
    """
    edges = np.linspace(*RANGE, BINS + 1)
    counts, powers, total = np.zeros(BINS), np.zeros(4), 0
    for chunk in chunks:
        values = chunk.astype(np.float64).ravel()
        counts += np.histogram(values, edges)[0]
        square = np.square(values)
        powers += [values.sum(), square.sum(), (square * values).sum(), np.square(square).sum()]
        total += values.size
    if total == 0:
        raise ValueError("a distribution needs at least one value")
    mean, square, cube, fourth = powers / total
    variance = square - mean**2
    central_fourth = fourth - 4 * mean * cube + 6 * mean**2 * square - 3 * mean**4
    kurtosis = float(central_fourth / variance**2) if variance > 1e-12 else None
    return Distribution((edges[1:] + edges[:-1]) / 2, counts / total / (edges[1] - edges[0]), float(variance), kurtosis)
