"""What is fitted to what: the model's mean, as a function of three free numbers, and the measured powers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import UserError
from pipeline.theory import asymptotics, paper_values
from pipeline.theory.power_table import PowerTable, table_of_powers
from pipeline.theory.recursion import Trait, trajectory
from pipeline.theory.truncation import Selection

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


@dataclass(frozen=True)
class FitProblem:
    """What is fitted to what, in units of S_0: `genetic` is sigma_G0. theta [...,3] = (log r1/r, log r2/r, log sigma_E)."""

    observations: PowerTable
    genetic: float
    variant: Variant

    def shape(self, theta: np.ndarray, iterations: int) -> np.ndarray:
        """theta [...,3] -> the model's mean over t = 0..`iterations` less its start, [...,K+1]."""
        r1, r2, sigma_E = parameters(theta)
        trait = Trait(0.0, self.genetic, sigma_E, self.variant.mutation * sigma_E)
        return trajectory(self.variant.selection(r1, r2, sigma_E), trait, iterations).mean

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """theta [...,3] -> [...,n]: measured less modelled, each run at the level that suits it best."""
        data = self.observations
        return data.centred(data.value - self.shape(theta, data.last)[..., data.t])


def build_problem(runs: Sequence[Sequence[float]], sigma_G0: float | None, variant: Variant) -> FitProblem:
    """Return the fit of these runs. Raises UserError as `fit_power` does, and for a sigma_G0 that is no deviation."""
    data = table_of_powers(runs)
    genetic = GENETIC_RATIO if sigma_G0 is None else sigma_G0 / data.unit
    if not (math.isfinite(genetic) and genetic > 0):
        raise UserError(f"sigma_G0 must be a number above 0, got {sigma_G0}; leave it out for {GENETIC_RATIO:.2f} times S_0")
    return FitProblem(data, genetic, variant)


def parameters(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """theta [...,3] -> r1, r2, sigma_E. Always r1, r2 > 0 and r1 + r2 < 1; swapping theta's first two swaps the shares."""
    left, right = np.exp(theta[..., 0]), np.exp(theta[..., 1])
    whole = 1.0 + left + right
    return left / whole, right / whole, np.exp(theta[..., 2])


def derivative(function: Callable[[np.ndarray], np.ndarray], theta: np.ndarray) -> np.ndarray:
    """Return central differences of `function`, [...,3] -> [...,M], at theta [3]: [M,3], in one call."""
    step = 1e-5 * np.eye(len(theta))
    return ((function(theta + step) - function(theta - step)) / 2e-5).T


def asymptotic_response(problem: FitProblem, theta: np.ndarray) -> np.ndarray:
    """theta [...,3] -> the mean's change per iteration in the limit."""
    r1, r2, sigma_E = parameters(theta)
    return asymptotics.response(problem.variant.selection(r1, r2, sigma_E), sigma_E, problem.variant.mutation * sigma_E)
