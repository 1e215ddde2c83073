"""The quantitative-trait model from iteration to iteration, mean, variances and heritability (eq. 5-12, 16), and where it ends
(Theorem 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from pipeline.theory.truncation import Selection, Values, hard_moments, soft_moments


@dataclass(frozen=True)
class Trait:
    """The trait of the first population, in its own units; arrays broadcast. Deviations are >= 0, else ValueError.

    mu_0, sigma_G0: mean and genetic deviation at t = 0. sigma_E: environmental deviation, what each iteration adds anew.
    sigma_M: mutation (eq. 16). 0 is the model of section 4.
    """

    mu_0: Values
    sigma_G0: Values
    sigma_E: Values
    sigma_M: Values = 0.0

    def __post_init__(self) -> None:
        for name in ("sigma_G0", "sigma_E", "sigma_M"):
            if not np.all(np.asarray(getattr(self, name)) >= 0):
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")


class Trajectory(NamedTuple):
    """The model over t = 0..K; each array is [...,K+1]."""

    mean: np.ndarray
    sigma_G: np.ndarray
    sigma_P: np.ndarray
    heritability: np.ndarray


def heritability(sigma_G: Values, sigma_E: Values, sigma_M: Values = 0.0) -> np.ndarray:
    """Return h^2 = sigma_G^2 / (sigma_G^2 + sigma_E^2 + sigma_M^2), eq. 5 and 16; 0 where nothing varies."""
    genetic = np.square(sigma_G)
    whole = np.asarray(genetic + np.square(sigma_E) + np.square(sigma_M))
    return np.divide(genetic, whole, out=np.zeros_like(whole), where=whole > 0)


def trajectory(selection: Selection, trait: Trait, iterations: int) -> Trajectory:
    """Return the model's path over t = 0..`iterations`.

        sigma_P,t^2   = sigma_G,t^2 + sigma_E^2
        mu_{t+1}      = mu_t + h_t^2 (mu'_t - mu_t)         breeder's equation, eq. 5
        sigma_G,t+1^2 = c2 sigma_P,t^2                      corrected

    Corrected: section 4.1 and eq. 11 print sigma_G,t+1^2 = sigma_P,t^2. Then the variance would grow for ever; the text says
    "the variance of selected individuals", and eq. 9's last form, eq. 11's last form and Theorem 1 all need c2 sigma_P,t^2.
    Eq. 9 and 10 write c1 with an absolute value and two cases; here `shift` carries the sign: up when r1 > r2.
    Mutation enters the heritability alone, as eq. 16 has it: it slows the mean and adds nothing to sigma_P.
    """
    parts = (selection.r1, selection.r2, selection.rate, trait.mu_0, trait.sigma_G0, trait.sigma_E, trait.sigma_M)
    shape = np.broadcast_shapes(*(np.shape(part) for part in parts))
    mean, genetic = np.full(shape, trait.mu_0, dtype=float), np.full(shape, trait.sigma_G0, dtype=float)
    fixed = None if selection.soft else hard_moments(selection)
    rows = []
    for _ in range(iterations + 1):
        h2 = heritability(genetic, trait.sigma_E, trait.sigma_M)
        phenotypic = np.hypot(genetic, trait.sigma_E)
        rows.append((mean, genetic, phenotypic, h2))
        selected = fixed or soft_moments(selection, phenotypic)
        mean = mean + h2 * selected.shift * phenotypic
        genetic = np.sqrt(selected.variance) * phenotypic
    return Trajectory(*(np.stack(column, axis=-1) for column in zip(*rows, strict=True)))


def variance_limit(selection: Selection, sigma_E: Values) -> np.ndarray:
    """Return lim sigma_P,t^2: sigma_E^2 / (1 - c2) for hard truncation (Theorem 1), the fixed point of eq. 11 for soft.

    Infinite when nothing is selected away (r1 = r2 = 0): every iteration then adds sigma_E^2.
    """
    if selection.soft:
        return np.vectorize(lambda r1, r2, rate, deviation: _fixed_point(Selection(r1, r2, rate), deviation))(
            selection.r1, selection.r2, selection.rate, sigma_E
        )
    with np.errstate(divide="ignore"):
        return np.square(sigma_E) / (1.0 - hard_moments(selection).variance)


def response_limit(selection: Selection, sigma_E: Values, sigma_M: Values = 0.0) -> np.ndarray:
    """Return the response to selection in the limit: the mean's signed change per iteration, up when r1 > r2.

    The paper calls it a drift; it is no genetic drift, which is random and needs no selection (`population.wright_fisher`).
    Without mutation and with hard truncation this is Theorem 1, c1 c2 sigma_E / sqrt(1 - c2): as sigma_G^2 -> c2 sigma_P^2,
    response = h^2 shift sigma_P -> shift c2 sigma_P. Corrected: the theorem prints its two conditions as "r1 > r2 (r2 < r1)",
    which are one and the same; the proof has r1 > r2 for the rise and r1 < r2 for the fall.
    """
    sigma_P = np.sqrt(variance_limit(selection, sigma_E))
    moments = soft_moments(selection, sigma_P) if selection.soft else hard_moments(selection)
    h2 = heritability(np.sqrt(moments.variance) * sigma_P, sigma_E, sigma_M)
    return h2 * moments.shift * sigma_P


def _fixed_point(selection: Selection, sigma_E: float) -> float:
    """Return the variance v with v = c2(v) v + sigma_E^2. Soft truncation keeps more than hard, so v lies above Theorem 1's."""
    if sigma_E == 0.0 or (selection.r1 == 0.0 and selection.r2 == 0.0):
        return 0.0 if sigma_E == 0.0 else np.inf

    def surplus(variance: float) -> float:
        return variance * (1.0 - float(soft_moments(selection, np.sqrt(variance)).variance)) - sigma_E**2

    low = high = sigma_E**2
    while surplus(high) < 0.0:
        high *= 2.0
    return float(brentq(surplus, low, high, xtol=1e-14 * high, rtol=1e-14)) if high > low else low
