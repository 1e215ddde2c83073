"""The theory applied to measured runs, for `redifine theory fit` and `forecast`: figures, JSON and the text to print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.json_files import write_json
from pipeline.studies.theory import figures
from pipeline.studies.theory.measured_power import MeasuredSetting, mean_over_runs
from pipeline.theory.fit import PowerFit, fit_power
from pipeline.theory.fit_problem import PLAIN, Variant
from pipeline.theory.forecast import Forecast, ForecastScore, forecast_power, score


@dataclass(frozen=True)
class Assumptions:
    """What is given, not fitted: sigma_G0 (None: the measured deviation) and the variant of the model."""

    sigma_G0: float | None = None
    variant: Variant = PLAIN

    def genetic_deviation(self, setting: MeasuredSetting) -> float | None:
        return self.sigma_G0 or setting.deviation


@dataclass(frozen=True)
class Prediction:
    """A forecast of iterations `known`+1.. in the runs' own counting; `happened` and `score` as far as the runs went on."""

    setting: str
    runs: int
    start: int
    known: int
    iterations: list[int]
    power: list[float]
    low: list[float]
    high: list[float]
    happened: list[float]
    score: ForecastScore | None


def fit_settings(settings: Sequence[MeasuredSetting], assumed: Assumptions, out: Path) -> list[PowerFit]:
    """Fit each setting; writes fit.svg with all of them, and fit.json."""
    fits = []
    for setting in settings:
        with _naming(setting):
            fits.append(fit_power(setting.powers, assumed.genetic_deviation(setting), assumed.variant))
    write_text(out / "fit.svg", figures.draw_fits(settings, fits))
    write_json(out / "fit.json", fits_as_json(settings, fits))
    return fits


@contextmanager
def _naming(setting: MeasuredSetting) -> Iterator[None]:
    """Name the setting in a UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{setting.name}: {error}") from error


def fits_as_json(settings: Sequence[MeasuredSetting], fits: Sequence[PowerFit]) -> list[dict[str, Any]]:
    return [
        {"setting": setting.name, "start": setting.start, "powers": dict(zip(setting.runs, setting.powers, strict=True))}
        | asdict(fit)
        for setting, fit in zip(settings, fits, strict=True)
    ]


def describe_fit(setting: MeasuredSetting, fit: PowerFit) -> str:
    """Describe the parameters with their intervals, and how well the curve meets the data."""
    last = setting.start + len(fit.curve) - 1
    runs = f", {len(setting.powers)} runs" if len(setting.powers) > 1 else ""
    lines = [f"{setting.name}: fit to k = {setting.start}..{last}{runs}, with 95 % intervals (delta method)"]
    for name, (low, high) in fit.intervals.items():
        lines.append(f"  {name:8} {getattr(fit, name):9.4g}   {low:.3g} .. {high:.3g}")
    between = "" if fit.between is None else f"; the runs' levels differ by {fit.between:.3g} (standard deviation)"
    lines.append(f"  noise    {fit.noise:9.4g}   around each run's curve{between}")
    lines.append(f"  mu_0     {fit.mu_0:9.4g}   the curve at k = {setting.start}; sigma_G0 = {fit.sigma_G0:.4g} is given")
    return "\n".join(lines)


def forecast_settings(
    settings: Sequence[MeasuredSetting], known: int, until: int | None, assumed: Assumptions, out: Path
) -> list[Prediction]:
    """Predict iterations `known`+1..`until` of each setting from the ones before; writes forecast.svg and forecast.json."""
    forecasts, settings = [], [_runs_reaching(setting, known) for setting in settings]
    for setting in settings:
        with _naming(setting):
            forecasts.append(_forecast(setting, known, until, assumed))
    predictions = [_prediction(s, forecast, known) for s, forecast in zip(settings, forecasts, strict=True)]
    counts = [known - setting.start + 1 for setting in settings]
    write_text(out / "forecast.svg", figures.draw_forecasts(settings, forecasts, counts))
    write_json(out / "forecast.json", [asdict(prediction) for prediction in predictions])
    return predictions


def _runs_reaching(setting: MeasuredSetting, known: int) -> MeasuredSetting:
    """Return the setting's runs that reached iteration `known`; all of them where none did, for the message."""
    reached = [i for i, powers in enumerate(setting.powers) if setting.start + len(powers) > known]
    if not reached:
        return setting
    return replace(setting, runs=tuple(setting.runs[i] for i in reached), powers=tuple(setting.powers[i] for i in reached))


def _forecast(setting: MeasuredSetting, known: int, until: int | None, assumed: Assumptions) -> Forecast:
    last = setting.start + max(map(len, setting.powers)) - 1
    if known > last:
        raise UserError(f"--from {known} lies beyond the run's last measured iteration, {last}; choose at most {last}")
    end = last if until is None else until
    if end <= known:
        raise UserError(f"nothing is left to predict from --from {known} to {end}; choose an earlier --from or a later --until")
    count = max(known - setting.start + 1, 0)
    return forecast_power(
        [powers[:count] for powers in setting.powers], end - setting.start, assumed.genetic_deviation(setting), assumed.variant
    )


def _prediction(setting: MeasuredSetting, forecast: Forecast, known: int) -> Prediction:
    count = known - setting.start + 1
    mean = mean_over_runs(setting.powers)
    happened = mean[count:][: len(forecast.power)]
    return Prediction(
        setting=setting.name,
        runs=len(setting.powers),
        start=setting.start,
        known=known,
        iterations=[setting.start + t for t in forecast.iterations],
        power=forecast.power,
        low=forecast.low,
        high=forecast.high,
        happened=happened,
        score=score(forecast, mean[count - 1], happened) if happened else None,
    )


def describe_forecast(prediction: Prediction) -> str:
    """Describe each iteration in a line, and the error beside that of no change."""
    of = f" (mean of {prediction.runs} runs)" if prediction.runs > 1 else ""
    lines = [
        f"{prediction.setting}{of}: from k = {prediction.start}..{prediction.known}, with 95 % prediction bands",
        "  k  predicted    low       high      happened",
    ]
    for i, k in enumerate(prediction.iterations):
        happened = f"{prediction.happened[i]:.5f}" if i < len(prediction.happened) else "-"
        lines.append(f"{k:3}  {prediction.power[i]:.5f}   {prediction.low[i]:8.5f}  {prediction.high[i]:8.5f}   {happened}")
    if prediction.score:
        lines.append(_score_line(prediction.score, prediction.known))
    return "\n".join(lines)


def _score_line(result: ForecastScore, known: int) -> str:
    stayed = f"had it stayed as at k = {known}: {result.unchanged:.5f}"
    return f"error {result.error:.5f} (root mean square); {stayed}; {result.covered:.0%} within the band"
