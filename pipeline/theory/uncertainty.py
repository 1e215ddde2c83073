"""How sure the fit is: the covariance of its parameters, and what it means for the curve and for a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student_t

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Optimum:
    """The parameters theta [3] with their covariance [3,3]; `levels` [m] of the runs, and by how much each falls when theta
    rises, `gradients` [m,3]; the `noise` of a power around its run's curve. All in units of the first power.

    freedom: observations less levels less the parameters that the data, not the prior, decide.
    """

    theta: np.ndarray
    covariance: np.ndarray
    levels: np.ndarray
    gradients: np.ndarray
    lengths: np.ndarray
    noise: float
    freedom: float

    @property
    def level(self) -> float:
        """Return mu_0, the mean of the runs' levels."""
        return float(self.levels.mean())

    @property
    def between(self) -> float | None:
        """Return the standard deviation of the runs' levels; None for one run."""
        return float(self.levels.std(ddof=1)) if len(self.levels) > 1 else None

    def standard_deviations(self, slope: np.ndarray) -> np.ndarray:
        """Return the standard deviations [M] of M quantities, from their derivatives [M,3]."""
        return np.sqrt(np.einsum("mi,ij,mj->m", slope, self.covariance, slope))


class Bands(NamedTuple):
    """Half widths of pointwise 95 % bands over t, [K+1]: see `bands`."""

    mean: np.ndarray
    measurement: np.ndarray
    ahead: np.ndarray


def bands(optimum: Optimum, slope: np.ndarray) -> Bands:
    """Turn the curve's derivatives [K+1,3], its level held, into the half widths of three bands, from four variances:

    shape: the parameters' covariance through the derivative of (curve - its mean over the run's iterations);
    own:   noise^2 / n for a run's own level, 1 / m of that for the mean of m runs;
    noise: of one measurement around its run's curve;
    runs:  the variance of the m runs' levels.

    mean:   one run: shape + own, where its mean curve lies. Several: shape, and runs / m, where that of all runs lies.
    measurement: one run: shape + own + noise, where one more of it lies. Several: shape + noise, and runs (1 + 1 / m), where
            one of another run lies.
    ahead:  shape + own + noise / m, where the mean of these very runs' next measurements lies (forecast).
    A sum is taken times Student's t with `freedom`, what comes from the runs times t with m - 1; the two add in quadrature.
    """
    m, free = len(optimum.levels), optimum.freedom
    shape = np.square(optimum.standard_deviations(slope - optimum.gradients.mean(axis=0)))
    own = optimum.noise**2 * float((1.0 / optimum.lengths).mean()) / m
    noise = optimum.noise**2
    ahead = quantile(free) * np.sqrt(shape + own + noise / m)
    if optimum.between is None:
        return Bands(quantile(free) * np.sqrt(shape + own), ahead, ahead)
    runs = float(quantile(m - 1)) * optimum.between
    return Bands(
        mean=np.hypot(quantile(free) * np.sqrt(shape), runs / np.sqrt(m)),
        measurement=np.hypot(quantile(free) * np.sqrt(shape + noise), runs * np.sqrt(1.0 + 1.0 / m)),
        ahead=ahead,
    )


def quantile(freedom: float | np.ndarray) -> np.ndarray:
    """Return Student's t that leaves 2.5 % on either side."""
    return np.asarray(student_t.ppf((1.0 + CONFIDENCE) / 2.0, freedom))
