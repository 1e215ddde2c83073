"""What selection does to a Gaussian trait: mean and variance after truncating both tails, hard or soft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import erfcx, ndtri

Values = float | np.ndarray
"""A number, or an array of them that broadcasts."""

_NARROW = 1e-3
"""Below this share kept, eq. 8 subtracts nearly equal numbers; the interval is then treated as nearly uniform."""


@dataclass(frozen=True)
class Selection:
    """Who becomes a parent: all but the share r1 of the left tail and r2 of the right one.

    r1 = 0.95 keeps the upper 5 %. Arrays broadcast. With a finite `rate` the truncation is soft (section D.2.3): a sample at
    distance d outside the kept zone is still kept with probability exp(-rate * d), d in units of the trait.
    Raises ValueError when a share is negative, nothing is left (r1 + r2 >= 1), rate <= 0, or only some rates are finite.
    """

    r1: Values
    r2: Values
    rate: Values = np.inf

    def __post_init__(self) -> None:
        r1, r2 = np.asarray(self.r1, dtype=float), np.asarray(self.r2, dtype=float)
        if not (np.all(r1 >= 0) and np.all(r2 >= 0) and np.all(r1 + r2 < 1)):
            raise ValueError(f"r1 and r2 must be >= 0 and r1 + r2 < 1, got {self.r1} and {self.r2}")
        if not np.all(np.asarray(self.rate) > 0):
            raise ValueError(f"rate must be > 0, got {self.rate}")
        if self.soft and not np.all(np.isfinite(self.rate)):
            raise ValueError(f"either all rates must be finite or none, got {self.rate}")

    @property
    def soft(self) -> bool:
        return bool(np.any(np.isfinite(self.rate)))

    @property
    def zone(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the kept zone, alpha = Phi^-1(r1) and beta = Phi^-1(1 - r2), in standard deviations from the mean."""
        # 1 - r2 would lose a small r2; Phi^-1(1 - r2) = -Phi^-1(r2) does not.
        return np.asarray(ndtri(self.r1)), np.asarray(-ndtri(self.r2))


class SelectedMoments(NamedTuple):
    """Of the selected, in units of the whole population's: shift = (mu' - mu) / sigma, variance = sigma'^2 / sigma^2.

    The paper's constants are c1 = |shift| and c2 = variance; `share` is the part that is selected.
    """

    shift: np.ndarray
    variance: np.ndarray
    share: np.ndarray


def hard_moments(selection: Selection) -> SelectedMoments:
    """Return the moments of eq. 7 and 8: shift = -(phi(beta) - phi(alpha)) / Z, and c2. The rate of `selection` is ignored."""
    alpha, beta = selection.zone
    share = 1.0 - np.asarray(selection.r1, dtype=float) - np.asarray(selection.r2, dtype=float)
    shift = (_density(alpha) - _density(beta)) / share
    variance = 1.0 - (_times_density(beta) - _times_density(alpha)) / share - shift**2
    with np.errstate(invalid="ignore"):  # an open end is infinite: never narrow
        narrow = (share < _NARROW) & (beta - alpha < 0.1)
        variance = np.where(narrow, (beta - alpha) ** 2 / 12.0, variance)
    return SelectedMoments(shift, variance, share)


def soft_moments(selection: Selection, sigma: Values) -> SelectedMoments:
    """Return the moments under the weight w(z) = 1 inside the zone, exp(-s d) at distance d outside, s = rate * sigma.

    The rate has units, so the moments depend on `sigma`, the deviation of the trait. An exponential times a Gaussian is a
    shifted Gaussian: exp(-s z) phi(z) = exp(s^2 / 2) phi(z + s). With the tails' weights U and L this gives, phi's other terms
    cancelling, M1 = s (L - U) and M2 = Z + (1 + s^2)(U + L) - s (phi(alpha) + phi(beta)).
    """
    alpha, beta = selection.zone
    s = selection.rate * np.asarray(sigma, dtype=float)
    inside = 1.0 - np.asarray(selection.r1, dtype=float) - np.asarray(selection.r2, dtype=float)
    upper, lower = _tail_weight(beta, s), _tail_weight(-alpha, s)
    share = inside + upper + lower
    shift = s * (lower - upper) / share
    second = (inside + (1.0 + s**2) * (upper + lower) - s * (_density(alpha) + _density(beta))) / share
    return SelectedMoments(shift, second - shift**2, share)


def _tail_weight(edge: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return the integral over z > edge of exp(-s (z - edge)) phi(z) = sqrt(pi / 2) phi(edge) erfcx((edge + s) / sqrt(2))."""
    finite = np.where(np.isfinite(edge), edge, 0.0)
    weight = np.sqrt(np.pi / 2.0) * _density(finite) * erfcx((finite + s) / np.sqrt(2.0))
    return np.where(np.isfinite(edge), weight, 0.0)


def _density(z: np.ndarray) -> np.ndarray:
    """Return the standard normal density phi; 0 at infinity."""
    return np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)


def _times_density(z: np.ndarray) -> np.ndarray:
    """Return z phi(z), with its limit 0 at infinity."""
    return np.where(np.isfinite(z), z, 0.0) * _density(z)
