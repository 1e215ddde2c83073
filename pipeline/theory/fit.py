"""Least squares of the model's mean to the measured power: (r1, r2, sigma_E) from S_0..S_K, with confidence bands.

What so few points can tell. The curve depends on the shares only through the shift and c2 of `truncation`, so a run fixes

- well: the direction (the sign of r1 - r2), the drift per iteration, and the curve itself;
- less well, and only from the bend of the first iterations: c2 and sigma_E apart from the shift, given sigma_G0. Sigma_G0 is
  taken as the spread of S over the first images, as the paper takes it; a wrong value goes into sigma_E and the shares;
- hardly: the smaller of r1 and r2, and, when the power barely moves, everything but the drift: a balanced selection, a
  weak one and a small sigma_E then look the same.

A weak prior keeps such directions finite (see `PRIOR_SPREAD`), and the intervals say how wide they are. The mean of the model
is monotone: a run whose power turns back cannot be fitted, whatever the parameters; its `noise` is then large. Often
only k = 0 to 1, from real to generated images, goes the other way; fit from k = 1 then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import logit
from scipy.stats import t as student_t

from pipeline.errors import UserError
from pipeline.theory import asymptotics, settings
from pipeline.theory.recursion import Trait, trajectory
from pipeline.theory.truncation import Selection

CONFIDENCE = 0.95
FEWEST_ITERATIONS = 3

GENETIC_RATIO = settings.SIGMA_G0 / settings.MU_0
"""sigma_G0 / mu_0 where sigma_G0 is not given: the paper's, 2.07."""

PRIOR_SPREAD = np.array([3.0, 3.0, 2.0])
"""Deviations of the prior on log(r1 / r), log(r2 / r) and log(sigma_E / mu_0), r = 1 - r1 - r2."""

PRIOR_CENTRE = np.array([0.0, 0.0, math.log(settings.SIGMA_E / settings.MU_0)])

TOLERATED = 0.002
"""A misfit of this share of S_0 at one point weighs as much as one deviation of the prior."""

_LIMIT = 8.0
"""How far the logs may go from the prior's centre: keeps the search from overflowing on its way."""

_STARTS, _MOST_STEPS = 3, 100


@dataclass(frozen=True)
class PowerFit:
    """The fitted model. curve, low, high: [K+1], the mean power and its pointwise 95 % confidence band.

    drift: change of the mean per iteration in the limit (Theorem 1). noise: standard deviation of the measured powers
    around the curve. intervals: 95 % for r1, r2, sigma_E and drift.
    """

    r1: float
    r2: float
    sigma_E: float
    mu_0: float
    sigma_G0: float
    drift: float
    noise: float
    intervals: Mapping[str, tuple[float, float]]
    curve: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Estimate:
    """The optimum theta [3] = (log r1/r, log r2/r, log sigma_E/mu_0), its covariance [3,3], and the noise around the curve.

    quantile: Student's t for the band, with the observations less the parameters in effect used as degrees of freedom.
    """

    theta: np.ndarray
    covariance: np.ndarray
    noise: float
    quantile: float
    mu_0: float
    sigma_G0: float


def fit_power(powers: Sequence[float], sigma_G0: float | None = None) -> PowerFit:
    """Fit (r1, r2, sigma_E) to S_0..S_K, with mu_0 = S_0 and sigma_G0 = 2.07 S_0 unless given. Deterministic.

    Bands and intervals are the delta method's: the covariance at the optimum, carried through the derivative of the curve,
    or of logit r, log sigma_E and the drift. Raises UserError for fewer than three iterations or values that are no powers.
    """
    return describe(estimate_parameters(powers, sigma_G0), len(powers) - 1)


def describe(estimate: Estimate, iterations: int) -> PowerFit:
    """The estimate in the paper's parameters, with bands over t = 0..`iterations`."""
    curve, deviation = curve_with_deviation(estimate, iterations)
    half = estimate.quantile * deviation
    r1, r2, sigma_E = (float(value) for value in parameters(estimate.theta, estimate.mu_0))
    return PowerFit(
        r1=r1,
        r2=r2,
        sigma_E=sigma_E,
        mu_0=estimate.mu_0,
        sigma_G0=estimate.sigma_G0,
        drift=float(asymptotics.drift(Selection(r1, r2), sigma_E)),
        noise=estimate.noise,
        intervals=_intervals(estimate),
        curve=curve.tolist(),
        low=(curve - half).tolist(),
        high=(curve + half).tolist(),
    )


def estimate_parameters(powers: Sequence[float], sigma_G0: float | None = None) -> Estimate:
    """Multi-start least squares with the weak prior, and the covariance at the best optimum."""
    observed = check_powers(powers)
    mu_0 = float(observed[0])
    genetic = GENETIC_RATIO * mu_0 if sigma_G0 is None else sigma_G0
    if not (math.isfinite(genetic) and genetic > 0):
        raise UserError(f"sigma_G0 must be a number above 0, got {genetic}; leave it out for {GENETIC_RATIO:.2f} times S_0")
    unit = TOLERATED * mu_0

    def misfit(theta: np.ndarray) -> np.ndarray:
        modelled = model_curve(theta, mu_0, genetic, len(observed) - 1)[..., 1:]
        return np.concatenate([(modelled - observed[1:]) / unit, (theta - PRIOR_CENTRE) / PRIOR_SPREAD], axis=-1)

    theta = _minimise(misfit)
    return _with_uncertainty(theta, misfit(theta), derivative(misfit, theta), unit, mu_0, genetic)


def check_powers(powers: Sequence[float]) -> np.ndarray:
    """S_0..S_K as float64 [K+1]. Raises UserError when K < 3 or a value is not a power."""
    values = np.asarray(powers, dtype=np.float64)
    if len(values) < FEWEST_ITERATIONS + 1:
        raise UserError(
            f"a fit needs the power of at least {FEWEST_ITERATIONS} iterations after the first images, "
            f"got {max(len(values) - 1, 0)}; run more iterations or start from an earlier one"
        )
    if not np.all(np.isfinite(values) & (values > 0)):
        raise UserError(f"a power must be a number above 0, got {list(powers)}; measure the chain again")
    return values


def parameters(theta: np.ndarray, mu_0: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """theta [...,3] -> r1, r2, sigma_E. Always r1, r2 > 0 and r1 + r2 < 1; swapping theta's first two swaps the shares."""
    left, right = np.exp(theta[..., 0]), np.exp(theta[..., 1])
    whole = 1.0 + left + right
    return left / whole, right / whole, mu_0 * np.exp(theta[..., 2])


def model_curve(theta: np.ndarray, mu_0: float, sigma_G0: float, iterations: int) -> np.ndarray:
    """theta [...,3] -> the model's mean over t = 0..`iterations`, [...,K+1]."""
    r1, r2, sigma_E = parameters(theta, mu_0)
    return trajectory(Selection(r1, r2), Trait(mu_0, sigma_G0, sigma_E), iterations).mean


def curve_with_deviation(estimate: Estimate, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """The curve and its standard deviation by the delta method, [iterations + 1] each."""

    def curve(theta: np.ndarray) -> np.ndarray:
        return model_curve(theta, estimate.mu_0, estimate.sigma_G0, iterations)

    return curve(estimate.theta), _spread(derivative(curve, estimate.theta), estimate.covariance)


def derivative(function: Callable[[np.ndarray], np.ndarray], theta: np.ndarray) -> np.ndarray:
    """Central differences of `function`, [...,3] -> [...,M], at theta [3]: [M,3], in one call."""
    step = 1e-5 * np.eye(len(theta))
    return ((function(theta + step) - function(theta - step)) / 2e-5).T


def _minimise(misfit: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The best optimum from the best few points of a grid: there are several valleys."""
    shares, deviations = np.linspace(-6.0, 6.0, 9), PRIOR_CENTRE[2] + np.linspace(-5.0, 2.0, 8)
    grid = np.stack(np.meshgrid(shares, shares, deviations, indexing="ij"), axis=-1).reshape(-1, 3)
    cost = np.square(misfit(grid)).sum(axis=-1)
    bounds = (PRIOR_CENTRE - _LIMIT, PRIOR_CENTRE + _LIMIT)

    def jacobian(theta: np.ndarray) -> np.ndarray:
        return derivative(misfit, theta)

    optima = [
        least_squares(misfit, grid[start], jac=jacobian, bounds=bounds, max_nfev=_MOST_STEPS)
        for start in np.argsort(cost, kind="stable")[:_STARTS]
    ]
    return min(optima, key=lambda optimum: optimum.cost).x


def _with_uncertainty(
    theta: np.ndarray, misfit: np.ndarray, jacobian: np.ndarray, unit: float, mu_0: float, sigma_G0: float
) -> Estimate:
    """Noise from the residuals; the prior, whose rows are the last three, counts in its own scale, not in the noise's."""
    residuals, slope, prior = unit * misfit[:-3], unit * jacobian[:-3], np.diag(PRIOR_SPREAD**-2.0)
    used = np.trace(np.linalg.solve(slope.T @ slope / unit**2 + prior, slope.T @ slope / unit**2))
    freedom = max(len(residuals) - float(used), 1.0)
    # Never quite zero: a curve that is met exactly still has a (tiny) band, and the matrix an inverse.
    noise = max(math.sqrt(float(residuals @ residuals) / freedom), 1e-9 * mu_0)
    covariance = np.linalg.inv(slope.T @ slope / noise**2 + prior)
    return Estimate(theta, covariance, noise, float(student_t.ppf((1 + CONFIDENCE) / 2, freedom)), mu_0, sigma_G0)


def _spread(slope: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """[M,3], [3,3] -> standard deviations [M]."""
    return np.sqrt(np.einsum("mi,ij,mj->m", slope, covariance, slope))


def _intervals(estimate: Estimate) -> dict[str, tuple[float, float]]:
    """In logit r1, logit r2 and log sigma_E, so that no end leaves the parameter's range; drift as it is."""

    def transformed(theta: np.ndarray) -> np.ndarray:
        r1, r2, sigma_E = parameters(theta, estimate.mu_0)
        return np.stack([logit(r1), logit(r2), np.log(sigma_E), asymptotics.drift(Selection(r1, r2), sigma_E)], axis=-1)

    centre = transformed(estimate.theta)
    half = estimate.quantile * _spread(derivative(transformed, estimate.theta), estimate.covariance)
    ends = np.stack([centre - half, centre + half])
    ends[:, :2] = 1.0 / (1.0 + np.exp(-ends[:, :2]))
    with np.errstate(over="ignore"):
        ends[:, 2] = np.minimum(np.exp(ends[:, 2]), np.finfo(float).max)
    return {name: (float(low), float(high)) for name, (low, high) in zip(("r1", "r2", "sigma_E", "drift"), ends.T, strict=True)}
