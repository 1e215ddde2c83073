"""Predict the power of later iterations from the first ones, with a band for the next measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UserError
from pipeline.theory.fit import PowerFit, check_powers, curve_with_deviation, describe, estimate_parameters


@dataclass(frozen=True)
class Forecast:
    """From S_0..S_j: `iterations` j+1..K and, for each, the predicted power and its 95 % prediction band."""

    fit: PowerFit
    iterations: list[int]
    power: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Score:
    """How a forecast fared. Errors are root mean squares in units of the power; `unchanged` is that of "S stays at S_j".

    covered: the share of what then happened that lies within the band.
    """

    error: float
    unchanged: float
    covered: float


def forecast_power(powers: Sequence[float], until: int, sigma_G0: float | None = None) -> Forecast:
    """S_0..S_j -> the prediction of S_{j+1}..S_until.

    The band is for a measurement, not only for the mean: the delta method's variance of the curve plus that of the noise.
    Raises UserError as `fit_power` does, and when nothing is left to predict.
    """
    last = len(powers) - 1
    check_powers(powers)
    if until <= last:
        raise UserError(f"a forecast must reach beyond the iterations it is made from, 0..{last}, got {until}; choose fewer")
    estimate = estimate_parameters(powers, sigma_G0)
    curve, deviation = curve_with_deviation(estimate, until)
    half = estimate.quantile * np.hypot(deviation, estimate.noise)
    return Forecast(
        fit=describe(estimate, last),
        iterations=list(range(last + 1, until + 1)),
        power=curve[last + 1 :].tolist(),
        low=(curve - half)[last + 1 :].tolist(),
        high=(curve + half)[last + 1 :].tolist(),
    )


def score(forecast: Forecast, before: float, happened: Sequence[float]) -> Score:
    """Compare with what happened at the first iterations predicted; `before` is S_j, the last power that was known."""
    actual = np.asarray(happened, dtype=np.float64)
    power, low, high = (np.asarray(values[: len(actual)]) for values in (forecast.power, forecast.low, forecast.high))
    inside = (low <= actual) & (actual <= high)
    return Score(_root_mean_square(actual - power), _root_mean_square(actual - before), float(inside.mean()))


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
