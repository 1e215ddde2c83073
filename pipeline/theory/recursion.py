"""The quantitative-trait model from iteration to iteration: mean, variances and heritability (eq. 5-12, 16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

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
