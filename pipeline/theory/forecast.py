"""Predict the power of later iterations from the first ones, with a band for what will be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import UserError
from pipeline.theory.fit import PowerFit, describe, fit_parameters_and_noise
from pipeline.theory.fit_problem import FEWEST_ITERATIONS, PLAIN, Variant, build_problem, derivative
from pipeline.theory.uncertainty import bands


@dataclass(frozen=True)
class Forecast:
    """From S_0..S_j: `iterations` j+1..K and, for each, the predicted mean power of the runs and its 95 % prediction band."""

    fit: PowerFit
    iterations: list[int]
    power: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class ForecastScore:
    """How a forecast fared. Errors are root mean squares in units of the power; `unchanged` is that of "S stays at S_j".

    covered: the share of what then happened that lies within the band.
    """

    error: float
    unchanged: float
    covered: float


def forecast_power(
    runs: Sequence[Sequence[float]], until: int, sigma_G0: float | None = None, variant: Variant = PLAIN
) -> Forecast:
    """S_0..S_j of each run -> the prediction of the runs' mean S_{j+1}..S_until.

    The band is for what will be measured, not only for the curve: `ahead` of `uncertainty.bands`.
    Raises UserError as `fit_power` does, and when nothing is left to predict.
    """
    problem = build_problem(runs, sigma_G0, variant)
    last, unit = problem.observations.last, problem.observations.unit
    if until <= last:
        raise UserError(f"a forecast must reach beyond the iterations it is made from, 0..{last}, got {until}; choose fewer")
    optimum = fit_parameters_and_noise(problem)
    curve = optimum.level + problem.shape(optimum.theta, until)
    half = bands(optimum, derivative(lambda theta: problem.shape(theta, until), optimum.theta)).ahead
    return Forecast(
        fit=describe(problem, optimum),
        iterations=list(range(last + 1, until + 1)),
        power=(unit * curve)[last + 1 :].tolist(),
        low=(unit * (curve - half))[last + 1 :].tolist(),
        high=(unit * (curve + half))[last + 1 :].tolist(),
    )


def score(forecast: Forecast, before: float, happened: Sequence[float]) -> ForecastScore:
    """Compare with what happened at the first iterations predicted; `before` is S_j, the last power that was known."""
    actual = np.asarray(happened, dtype=np.float64)
    power, low, high = (np.asarray(values[: len(actual)]) for values in (forecast.power, forecast.low, forecast.high))
    inside = (low <= actual) & (actual <= high)
    return ForecastScore(root_mean_square(actual - power), root_mean_square(actual - before), float(inside.mean()))


def backtest(powers: Sequence[float], sigma_G0: float | None = None) -> tuple[Forecast, ForecastScore] | None:
    """Forecast the last third of one chain's powers from the rest, and score it. None for too short a chain."""
    known = len(powers) - max(len(powers) // 3, 1)
    if known <= FEWEST_ITERATIONS:
        return None
    forecast = forecast_power([powers[:known]], len(powers) - 1, sigma_G0)
    return forecast, score(forecast, powers[known - 1], powers[known:])


def root_mean_square(values: Sequence[float] | np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
