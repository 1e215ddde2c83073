"""Wright-Fisher sampling (section 4.3): what a finite population loses by chance, without any selection (genetic drift)."""

from __future__ import annotations

import math

import numpy as np

from pipeline.theory.population import Populations, simulate
from pipeline.theory.recursion import Trait
from pipeline.theory.truncation import Selection


def variance_left(size: int, iterations: int) -> np.ndarray:
    """Expected share of the first population's variance that is left, [K+1]: (1 - 1/N)^t.

    N children that each copy a parent drawn with replacement: two of them have the same parent with probability 1/N, and
    then do not differ. The same holds when N values are drawn from a normal distribution fitted to the N before. What
    is lost within a population is found between replicates: their means spread by 1 - (1 - 1/N)^t of the variance.
    """
    return (1.0 - 1.0 / size) ** np.arange(iterations + 1)


def half_life(size: int) -> float:
    """Iterations until half of the variance is lost, about 0.69 N: for N = 1000 images, 693."""
    return 1.0 if size <= 1 else math.log(0.5) / math.log1p(-1.0 / size)


def wright_fisher(size: int, iterations: int, replicates: int, seed: int) -> Populations:
    """The population simulation without selection and environment, from variance 1 and mean 0."""
    return simulate(Selection(0.0, 0.0), Trait(0.0, 1.0, 0.0), iterations, size, replicates, seed, "copied")
