"""Where the model ends up: Theorem 1's variance and response, and the same for mutation and soft truncation."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from pipeline.theory.recursion import heritability
from pipeline.theory.truncation import Selection, Values, hard_moments, soft_moments


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


def response(selection: Selection, sigma_E: Values, sigma_M: Values = 0.0) -> np.ndarray:
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
