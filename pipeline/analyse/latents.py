"""The distribution of the last latents' values before decoding, and the Gaussian that fits it (section G.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

RANGE = (-6.0, 6.0)
BINS = 60


@dataclass(frozen=True)
class Distribution:
    """`density` [60] at `centres` [60] (per unit of latent value; what lies beyond -6..6 is missing from it), and the
    moments; the kurtosis is 3 for a Gaussian, and None when all values are equal.

    `gaussian` [60] is the density at `centres` of the Gaussian with this mean and variance; 0 when all values are equal.
    """

    centres: np.ndarray
    density: np.ndarray
    mean: float
    variance: float
    kurtosis: float | None
    gaussian: np.ndarray


def distribution(chunks: Iterable[np.ndarray]) -> Distribution:
    """Compute histogram and moments of all values in arrays of any shape, one array at a time.

    Raise ValueError when there is no value.
    """
    counts, powers, total = np.zeros(BINS), np.zeros(4), 0
    for chunk in chunks:
        values = chunk.astype(np.float64).ravel()
        counts += np.histogram(values, BINS, RANGE)[0]
        square = np.square(values)
        powers += [values.sum(), square.sum(), (square * values).sum(), np.square(square).sum()]
        total += values.size
    if total == 0:
        raise ValueError("a distribution needs at least one value")
    edges = np.linspace(*RANGE, BINS + 1)
    centres, density = (edges[1:] + edges[:-1]) / 2, counts / total / (edges[1] - edges[0])
    mean, variance, kurtosis = _moments(*(powers / total))
    gaussian = np.zeros(BINS) if kurtosis is None else _gaussian(centres, mean, variance)
    return Distribution(centres, density, mean, variance, kurtosis, gaussian)


def _moments(mean: float, square: float, cube: float, fourth: float) -> tuple[float, float, float | None]:
    """Turn raw moments into (mean, variance, kurtosis)."""
    variance = square - mean**2
    central_fourth = fourth - 4 * mean * cube + 6 * mean**2 * square - 3 * mean**4
    return float(mean), float(variance), float(central_fourth / variance**2) if variance > 1e-12 else None


def _gaussian(values: np.ndarray, mean: float, variance: float) -> np.ndarray:
    return np.exp(-np.square(values - mean) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
