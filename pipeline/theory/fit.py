"""Least squares of the model's mean to the measured power of one or several runs: r1, r2, sigma_E, with confidence bands.

What is fitted. S of run i at iteration t is a_i + (model's mean at t, less its start) + noise. Each run has a level a_i of its
own, because the runs of one setting differ in their real images and draws; all share the shares and sigma_E. The noise
is independent from iteration to iteration, with one standard deviation for all runs. A weak prior (`PRIOR_SPREAD`) keeps finite
what the data do not tell; its weight and the covariance come from the same noise, which is found with the parameters.

What so few points can tell. The curve depends on the shares only through the shift and c2 of `truncation`, so a run fixes

- well: the direction (the sign of r1 - r2), the response per iteration, and the curve itself;
- less well, and only from the bend of the first iterations: c2 and sigma_E apart from the shift, given sigma_G0. Sigma_G0 is
  taken as the spread of S over the first images, as the paper takes it; a wrong value goes into sigma_E and the shares;
- hardly: the smaller of r1 and r2, and, when the power barely moves, everything but the response: a balanced selection, a
  weak one and a small sigma_E then look the same.

The mean of the model is monotone: a run whose power turns back cannot be fitted, whatever the parameters; its `noise` is then
large. Often only k = 0 to 1, from real to generated images, goes the other way; fit from k = 1 then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import least_squares
from scipy.special import logit

from pipeline.theory.fit_problem import (
    LEAST_NOISE,
    PLAIN,
    PRIOR_CENTRE,
    PRIOR_SPREAD,
    FitProblem,
    Variant,
    build_problem,
    derivative,
    parameters,
)
from pipeline.theory.uncertainty import Optimum, bands, quantile

_LIMIT = 8.0
"""How far the logs may go from the prior's centre: keeps the search from overflowing on its way."""

_STARTS, _MOST_STEPS, _MOST_ROUNDS = 3, 60, 30


@dataclass(frozen=True)
class PowerFit:
    """The fitted model. curve: [K+1] the mean power; low, high: its pointwise 95 % confidence band; single_low, single_high:
    the 95 % band for one measurement of one run.

    response: change of the mean per iteration in the limit (Theorem 1). noise: standard deviation of the measured powers
    around their run's curve. between: that of the runs' levels, None for one run. intervals: 95 % for r1, r2, sigma_E and
    response.
    """

    r1: float
    r2: float
    sigma_E: float
    mu_0: float
    sigma_G0: float
    mutation: float
    tail: float
    response: float
    noise: float
    between: float | None
    intervals: Mapping[str, tuple[float, float]]
    curve: list[float]
    low: list[float]
    high: list[float]
    single_low: list[float]
    single_high: list[float]


def fit_power(runs: Sequence[Sequence[float]], sigma_G0: float | None = None, variant: Variant = PLAIN) -> PowerFit:
    """Fit one setting's runs, each S_0..S_K, with sigma_G0 = 2.07 times the mean S_0 unless given. Deterministic.

    The bands: see `uncertainty.bands`. Intervals are the delta method's in logit r, log sigma_E and the response. Raises
    UserError for no run, a run of fewer than three iterations after its first, or values that are no powers.
    """
    problem = build_problem(runs, sigma_G0, variant)
    return describe(problem, fit_parameters_and_noise(problem))


def describe(problem: FitProblem, optimum: Optimum) -> PowerFit:
    """Return the optimum in the paper's parameters and in the powers' own units."""
    data = problem.observations
    r1, r2, sigma_E = (float(value) for value in parameters(optimum.theta))
    curve = optimum.level + problem.shape(optimum.theta, data.last)
    found = bands(optimum, derivative(lambda theta: problem.shape(theta, data.last), optimum.theta))
    return PowerFit(
        r1=r1,
        r2=r2,
        sigma_E=data.unit * sigma_E,
        mu_0=data.unit * optimum.level,
        sigma_G0=data.unit * problem.genetic,
        mutation=problem.variant.mutation,
        tail=problem.variant.tail,
        response=data.unit * float(problem.response(optimum.theta)),
        noise=data.unit * optimum.noise,
        between=None if optimum.between is None else data.unit * optimum.between,
        intervals=_intervals(problem, optimum),
        curve=(data.unit * curve).tolist(),
        low=(data.unit * (curve - found.mean)).tolist(),
        high=(data.unit * (curve + found.mean)).tolist(),
        single_low=(data.unit * (curve - found.measurement)).tolist(),
        single_high=(data.unit * (curve + found.measurement)).tolist(),
    )


def fit_parameters_and_noise(problem: FitProblem) -> Optimum:
    """Fit parameters and noise together: least squares for the noise, the noise from the least squares' residuals, by turns.

    Starts from the largest noise there can be, the scatter of the powers around their run's mean, so that of several
    solutions the most cautious is found; then once more from the best starts at that noise, because there are several valleys.
    """
    data = problem.observations
    noise = max(float(np.sqrt(np.square(data.centred(data.value)).sum() / (len(data.value) - data.runs))), LEAST_NOISE)
    optimum = _fit_with_noise(problem, _search(problem, noise), noise)
    return _fit_with_noise(problem, _search(problem, optimum.noise, optimum.theta), optimum.noise)


def _fit_with_noise(problem: FitProblem, theta: np.ndarray, noise: float) -> Optimum:
    """Alternate fit and noise until the noise stays within 1 %."""
    for _ in range(_MOST_ROUNDS):
        residuals, freedom = problem.residuals(theta), _with_covariance(problem, theta, noise).freedom
        found = max(math.sqrt(float(residuals @ residuals) / freedom), LEAST_NOISE)
        if abs(math.log(found / noise)) < 0.01:
            break
        noise = found
        theta = _descend(problem, noise, theta)
    return _with_covariance(problem, theta, noise)


def _with_covariance(problem: FitProblem, theta: np.ndarray, noise: float) -> Optimum:
    """Return the optimum with its covariance (slope' slope / noise^2 + prior)^-1: `slope` [n,3] of the residuals, the prior's
    inverse covariance, and the `noise` that weighs data against prior."""
    data, slope = problem.observations, derivative(problem.residuals, theta)
    information = slope.T @ slope / noise**2
    covariance = np.linalg.inv(information + np.diag(PRIOR_SPREAD**-2.0))
    return Optimum(
        theta,
        covariance,
        levels=data.means(data.value - problem.shape(theta, data.last)[data.t]),
        gradients=data.means(derivative(lambda at: problem.shape(at, data.last)[..., data.t], theta).T).T,
        lengths=data.lengths,
        noise=noise,
        freedom=max(len(slope) - data.runs - float(np.trace(covariance @ information)), 1.0),
    )


def _search(problem: FitProblem, noise: float, also: np.ndarray | None = None) -> np.ndarray:
    """Return the best optimum from the best few points of a grid, and from `also`."""
    shares, deviations = np.linspace(-6.0, 6.0, 9), PRIOR_CENTRE[2] + np.linspace(-5.0, 2.0, 8)
    grid = np.stack(np.meshgrid(shares, shares, deviations, indexing="ij"), axis=-1).reshape(-1, 3)
    starts = list(grid[np.argsort(_cost(problem, noise, grid), kind="stable")[:_STARTS]])
    found = [_descend(problem, noise, start) for start in ([] if also is None else [also]) + starts]
    return min(found, key=lambda theta: float(_cost(problem, noise, theta)))


def _cost(problem: FitProblem, noise: float, theta: np.ndarray) -> np.ndarray:
    return np.square(_objective(problem, noise, theta)).sum(axis=-1)


def _objective(problem: FitProblem, noise: float, theta: np.ndarray) -> np.ndarray:
    """Return residuals of data and prior, [...,n+3], each in its own standard deviations."""
    return np.concatenate([problem.residuals(theta) / noise, (theta - PRIOR_CENTRE) / PRIOR_SPREAD], axis=-1)


def _descend(problem: FitProblem, noise: float, start: np.ndarray) -> np.ndarray:
    """Return the optimum in the valley of `start`."""

    residuals = partial(_objective, problem, noise)
    limits = (PRIOR_CENTRE - _LIMIT, PRIOR_CENTRE + _LIMIT)
    return least_squares(residuals, start, jac=partial(derivative, residuals), bounds=limits, max_nfev=_MOST_STEPS).x


def _intervals(problem: FitProblem, optimum: Optimum) -> dict[str, tuple[float, float]]:
    """Return intervals made in logit r1, logit r2 and log sigma_E, so that no end leaves the range; the response as it is."""

    def transformed(theta: np.ndarray) -> np.ndarray:
        r1, r2, sigma_E = parameters(theta)
        return np.stack([logit(r1), logit(r2), np.log(sigma_E), problem.response(theta)], axis=-1)

    unit, centre = problem.observations.unit, transformed(optimum.theta)
    half = quantile(optimum.freedom) * optimum.standard_deviations(derivative(transformed, optimum.theta))
    ends = np.stack([centre - half, centre + half])
    ends[:, :2] = 1.0 / (1.0 + np.exp(-ends[:, :2]))
    with np.errstate(over="ignore"):
        ends[:, 2] = np.minimum(unit * np.exp(ends[:, 2]), np.finfo(float).max)
    ends[:, 3] *= unit
    names = ("r1", "r2", "sigma_E", "response")
    return {name: (float(low), float(high)) for name, (low, high) in zip(names, ends.T, strict=True)}
