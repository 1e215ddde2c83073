"""What the commands do: run the model or the fit, write figures and tables, return the text to print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.paths import Layout
from pipeline.randomness import derive_seed
from pipeline.storage import write_json, write_text
from pipeline.theory import asymptotics, figures
from pipeline.theory.drift import half_life, variance_left, wright_fisher
from pipeline.theory.fit import PowerFit, fit_power
from pipeline.theory.forecast import Forecast, Score, forecast_power, score
from pipeline.theory.measured import read_powers, read_spread
from pipeline.theory.population import simulate
from pipeline.theory.recursion import Trait, trajectory
from pipeline.theory.settings import PAPER_SELECTION, PAPER_TRAIT, REDIFINE_SELECTION, REDIFINE_TRAIT
from pipeline.theory.truncation import Selection

FAR = 200
"""Iteration at which the recursion's drift is compared with its limit (Theorem 1)."""


@dataclass(frozen=True)
class Prediction:
    """A forecast of iterations `known`+1.. of a run, in the run's own counting; `score` is None when none has happened."""

    start: int
    known: int
    iterations: list[int]
    power: list[float]
    low: list[float]
    high: list[float]
    happened: list[float]
    score: Score | None


def simulate_paper(out: Path, iterations: int, size: int, replicates: int, seed: int) -> str:
    """Figures 4b and 25 and their table; returns one line a setting."""
    baseline = {"CFG 7.5, hard": PAPER_SELECTION["high (CFG 7.5)"]}
    groups = [
        (
            "cfg.svg",
            "Selection for three CFG scales (Fig. 4b)",
            {name: (s, PAPER_TRAIT) for name, s in PAPER_SELECTION.items()},
        ),
        (
            "redifine.svg",
            "Mutation and soft truncation (Fig. 25)",
            {name: (s, PAPER_TRAIT) for name, s in baseline.items()}
            | {name: (s, REDIFINE_TRAIT) for name, s in REDIFINE_SELECTION.items()},
        ),
    ]
    rows, lines = [], [_SETTING_HEAD]
    for file, title, settings in groups:
        curves = {
            name: _curve(selection, trait, iterations, size, replicates, derive_seed("theory", seed, name))
            for name, (selection, trait) in settings.items()
        }
        write_text(out / file, figures.simulations(curves, title))
        rows += [row for name, curve in curves.items() for row in _curve_rows(name, curve)]
        lines += [_setting_line(name, *settings[name]) for name in settings]
    _write_csv(
        out / "simulation.csv", ["setting", "t", "mean", "sigma_P", "h2", "simulated", "error", "simulated_sigma_P"], rows
    )
    return "\n".join(lines)


def _curve(selection: Selection, trait: Trait, iterations: int, size: int, replicates: int, seed: int) -> figures.Curve:
    sample = simulate(selection, trait, iterations, size, replicates, seed)
    mean, error = sample.estimate("mean")
    variance, variance_error = sample.estimate("variance_P")
    sigma_P = np.sqrt(variance)
    return figures.Curve(trajectory(selection, trait, iterations), mean, error, sigma_P, variance_error / (2 * sigma_P))


def _curve_rows(name: str, curve: figures.Curve) -> Iterable[list[object]]:
    path = curve.path
    columns = (path.mean, path.sigma_P, path.heritability, curve.mean, curve.mean_error, curve.sigma_P)
    return ([name, t, *(float(value) for value in values)] for t, values in enumerate(zip(*columns, strict=True)))


_SETTING_HEAD = (
    f"{'setting':26}{'r1':>7}{'r2':>8}{'rate':>6}{'sigma_M':>9}{'drift limit':>13}{f'at t={FAR}':>11}{'sigma_P limit':>15}"
)


def _setting_line(name: str, selection: Selection, trait: Trait) -> str:
    limit = float(asymptotics.drift(selection, trait.sigma_E, trait.sigma_M))
    far = float(np.diff(trajectory(selection, trait, FAR).mean)[-1])
    deviation = float(np.sqrt(asymptotics.variance_limit(selection, trait.sigma_E)))
    shares = f"{selection.r1:>7}{selection.r2:>8}{selection.rate:>6g}{trait.sigma_M:>9}"
    return f"{name:26}{shares}{limit:>13.6f}{far:>11.6f}{deviation:>15.4f}"


def fit_run(layout: Layout, start: int, sigma_G0: float | None, out: Path) -> PowerFit:
    """Fit the power of iterations `start`..K; writes fit.svg and fit.json."""
    powers = read_powers(layout, start)
    fit = fit_power(powers, sigma_G0 or read_spread(layout, start))
    write_text(out / "fit.svg", figures.fitted(powers, fit, start))
    write_json(out / "fit.json", {"start": start, "powers": powers, **asdict(fit)})
    return fit


def describe_fit(fit: PowerFit, start: int) -> str:
    """The parameters with their intervals, and how well the curve meets the data."""
    lines = [f"fit to k = {start}..{start + len(fit.curve) - 1}, with 95 % intervals (delta method)"]
    for name, (low, high) in fit.intervals.items():
        lines.append(f"  {name:8} {getattr(fit, name):9.4g}   {low:.3g} .. {high:.3g}")
    lines.append(
        f"  noise    {fit.noise:9.4g}   around the curve; mu_0 = {fit.mu_0:.4g} and sigma_G0 = {fit.sigma_G0:.4g} are given"
    )
    return "\n".join(lines)


def forecast_run(layout: Layout, start: int, known: int, until: int | None, sigma_G0: float | None, out: Path) -> Prediction:
    """Predict iterations `known`+1..`until` from `start`..`known`; writes forecast.svg and forecast.json."""
    powers = read_powers(layout, start)
    last = start + len(powers) - 1
    if known > last:
        raise UserError(f"--from {known} lies beyond the run's last measured iteration, {last}; choose at most {last}")
    spread = sigma_G0 or read_spread(layout, start)
    forecast = forecast_power(powers[: max(known - start + 1, 0)], (last if until is None else until) - start, spread)
    prediction = _prediction(forecast, powers, start, known)
    write_text(out / "forecast.svg", figures.forecasted(powers, forecast, start))
    write_json(out / "forecast.json", asdict(prediction))
    return prediction


def _prediction(forecast: Forecast, powers: Sequence[float], start: int, known: int) -> Prediction:
    happened = list(powers[known - start + 1 :][: len(forecast.power)])
    return Prediction(
        start=start,
        known=known,
        iterations=[start + k for k in forecast.iterations],
        power=forecast.power,
        low=forecast.low,
        high=forecast.high,
        happened=happened,
        score=score(forecast, powers[known - start], happened) if happened else None,
    )


def describe_forecast(prediction: Prediction) -> str:
    """One line an iteration, and the error beside that of no change."""
    lines = [
        f"from k = {prediction.start}..{prediction.known}, with 95 % prediction bands",
        "  k  predicted    low       high      happened",
    ]
    for i, k in enumerate(prediction.iterations):
        happened = f"{prediction.happened[i]:.5f}" if i < len(prediction.happened) else "-"
        lines.append(f"{k:3}  {prediction.power[i]:.5f}   {prediction.low[i]:8.5f}  {prediction.high[i]:8.5f}   {happened}")
    if prediction.score:
        lines.append(_score_line(prediction.score, prediction.known))
    return "\n".join(lines)


def _score_line(result: Score, known: int) -> str:
    stayed = f"had it stayed as at k = {known}: {result.unchanged:.5f}"
    return f"error {result.error:.5f} (root mean square); {stayed}; {result.covered:.0%} within the band"


def show_drift(out: Path, sizes: Sequence[int], iterations: int, replicates: int, seed: int) -> str:
    """drift.svg and drift.csv; returns one line a population size."""
    expected = {size: variance_left(size, iterations) for size in sizes}
    found = {
        size: wright_fisher(size, iterations, replicates, derive_seed("drift", seed, size)).estimate("variance_G")
        for size in sizes
    }
    # The first population is itself a sample: its own variance is (1 - 1/N) of the distribution's.
    found = {size: (mean / (1 - 1 / size), error / (1 - 1 / size)) for size, (mean, error) in found.items()}
    write_text(out / "drift.svg", figures.drifted(expected, found))
    rows = [
        [size, t, float(expected[size][t]), float(found[size][0][t]), float(found[size][1][t])]
        for size in sizes
        for t in range(iterations + 1)
    ]
    _write_csv(out / "drift.csv", ["size", "t", "expected", "simulated", "error"], rows)
    lines = [f"{'N':>6}{'half-life':>11}{f'left at t={iterations}':>16}{'simulated':>11}{'error':>9}"]
    for size in sizes:
        mean, error = (values[-1] for values in found[size])
        lines.append(f"{size:>6}{half_life(size):>11.1f}{expected[size][-1]:>16.4f}{mean:>11.4f}{error:>9.4f}")
    return "\n".join(lines)


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([f"{value:.8g}" if isinstance(value, float) else value for value in row] for row in rows)
    write_text(path, text.getvalue())
