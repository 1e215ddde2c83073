"""What is fitted to what: the model's mean, as a function of three free numbers, and the measured powers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.theory import paper_values
from pipeline.theory.recursion import Trait, response_limit, trajectory
from pipeline.theory.truncation import Selection

FEWEST_ITERATIONS = 3

LEAST_NOISE = 0.002
"""No measured power is taken to be surer than this share of S_0: a curve that is met exactly has a band, too."""

GENETIC_RATIO = paper_values.SIGMA_G0 / paper_values.MU_0
"""sigma_G0 / mu_0 where sigma_G0 is not given: the paper's, 2.07."""

PRIOR_SPREAD = np.array([3.0, 3.0, 2.0])
"""Deviations of the prior on log(r1 / r), log(r2 / r) and log(sigma_E / S_0), r = 1 - r1 - r2."""

PRIOR_CENTRE = np.array([0.0, 0.0, math.log(paper_values.SIGMA_E / paper_values.MU_0)])


@dataclass(frozen=True)
class Variant:
    """Which model is fitted, in units of sigma_E: `mutation` = sigma_M / sigma_E (eq. 16; the paper's simulation has 0.4), and
    `tail`: an image at distance d outside the kept zone stays with probability exp(-d / (tail sigma_E)) (D.2.3; 0.4 for the
    paper's 0.1 taken as a length, 40 as printed). 0 and 0 are section 4's model."""

    mutation: float = 0.0
    tail: float = 0.0

    def selection(self, r1: np.ndarray, r2: np.ndarray, sigma_E: np.ndarray) -> Selection:
        return Selection(r1, r2, 1.0 / (self.tail * sigma_E) if self.tail else np.inf)


PLAIN = Variant()


class PowerTable(NamedTuple):
    """n powers of m runs: `value` [n] in units of `unit`, the mean first power; `run` [n] in 0..m-1 and `t` [n] from 0."""

    value: np.ndarray
    run: np.ndarray
    t: np.ndarray
    unit: float

    @property
    def runs(self) -> int:
        return int(self.run[-1]) + 1

    @property
    def last(self) -> int:
        """Return the largest t."""
        return int(self.t.max())

    @property
    def lengths(self) -> np.ndarray:
        """Return the number of powers of each run, [m]."""
        return np.bincount(self.run)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of [...,n] over each run, [...,m]."""
        return values @ (np.eye(self.runs)[self.run] / self.lengths)

    def centred(self, values: np.ndarray) -> np.ndarray:
        """Return [...,n] less the mean over each run."""
        return values - self.means(values)[..., self.run]


@dataclass(frozen=True)
class FitProblem:
    """What is fitted to what, in units of S_0: `genetic` is sigma_G0. theta [...,3] = (log r1/r, log r2/r, log sigma_E)."""

    observations: PowerTable
    genetic: float
    variant: Variant

    def shape(self, theta: np.ndarray, iterations: int) -> np.ndarray:
        """Map theta [...,3] to the model's mean over t = 0..`iterations` less its start, [...,K+1]."""
        r1, r2, sigma_E = parameters(theta)
        trait = Trait(0.0, self.genetic, sigma_E, self.variant.mutation * sigma_E)
        return trajectory(self.variant.selection(r1, r2, sigma_E), trait, iterations).mean

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """Map theta [...,3] to [...,n]: measured less modelled, each run at the level that suits it best."""
        data = self.observations
        return data.centred(data.value - self.shape(theta, data.last)[..., data.t])

    def response(self, theta: np.ndarray) -> np.ndarray:
        """Map theta [...,3] to the mean's change per iteration in the limit."""
        r1, r2, sigma_E = parameters(theta)
        return response_limit(self.variant.selection(r1, r2, sigma_E), sigma_E, self.variant.mutation * sigma_E)


def build_problem(runs: Sequence[Sequence[float]], sigma_G0: float | None, variant: Variant) -> FitProblem:
    """Return the fit of these runs. Raises UserError as `fit_power` does, and for a sigma_G0 that is no deviation."""
    data = power_table(runs)
    genetic = GENETIC_RATIO if sigma_G0 is None else sigma_G0 / data.unit
    if not (math.isfinite(genetic) and genetic > 0):
        raise UserError(f"sigma_G0 must be a number above 0, got {sigma_G0}; leave it out for {GENETIC_RATIO:.2f} times S_0")
    return FitProblem(data, genetic, variant)


def power_table(runs: Sequence[Sequence[float]]) -> PowerTable:
    """Return each run's S_0..S_K as one table. Raises UserError for no run, K < 3, or a value that is no power."""
    arrays = [_checked(powers) for powers in runs]
    if not arrays:
        raise UserError("a fit needs at least one run; name a folder or revisions that have metrics")
    unit = float(np.mean([powers[0] for powers in arrays]))
    return PowerTable(
        value=np.concatenate(arrays) / unit,
        run=np.repeat(np.arange(len(arrays)), [len(powers) for powers in arrays]),
        t=np.concatenate([np.arange(len(powers)) for powers in arrays]),
        unit=unit,
    )


def _checked(powers: Sequence[float]) -> np.ndarray:
    values = np.asarray(powers, dtype=np.float64)
    if len(values) < FEWEST_ITERATIONS + 1:
        raise UserError(
            f"a fit needs the power of at least {FEWEST_ITERATIONS} iterations after the first images, "
            f"got {max(len(values) - 1, 0)}; run more iterations or start from an earlier one (--start)"
        )
    if not np.all(np.isfinite(values) & (values > 0)):
        raise UserError(f"a power must be a number above 0, got {list(powers)}; measure the chain again")
    return values


def parameters(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map theta [...,3] to r1, r2, sigma_E. Always r1, r2 > 0 and r1 + r2 < 1; swapping theta's first two swaps the shares."""
    left, right = np.exp(theta[..., 0]), np.exp(theta[..., 1])
    whole = 1.0 + left + right
    return left / whole, right / whole, np.exp(theta[..., 2])


def derivative(function: Callable[[np.ndarray], np.ndarray], theta: np.ndarray) -> np.ndarray:
    """Return central differences of `function`, [...,3] -> [...,M], at theta [3]: [M,3], in one call."""
    step = 1e-5 * np.eye(len(theta))
    return ((function(theta + step) - function(theta - step)) / 2e-5).T
