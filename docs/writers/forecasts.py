"""How the selection model would have forecast the study's chains, each from its first two thirds."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.charts.numbers import counted
from pipeline.studies.compare.groups import Setting
from pipeline.studies.compare.runs import ComparedRun
from pipeline.theory.forecast import ForecastScore, backtest, root_mean_square


def paragraph(study: Sequence[Setting]) -> str:
    """Errors of all forecasts in units of S_0, beside those of "S stays as it is"; "" when no chain is long enough."""
    scores = [found for setting in study for run in setting.runs if (found := _score(run)) is not None]
    if not scores:
        return ""
    error, unchanged = (root_mean_square([getattr(s, name) for s in scores]) for name in ("error", "unchanged"))
    nearer = sum(s.error < s.unchanged for s in scores) / len(scores)
    covered = sum(s.covered for s in scores) / len(scores)
    worse = "worse than to say that nothing changes, perhaps because S levels off where a drift would go on"
    return (
        "**Forecasts by the selection model** (section 4; the papers make none). "
        f"{counted(len(scores), 'chain').capitalize()}, each fitted to S_k of its first two thirds, the last third forecast: "
        f'the error is {error:.3f} S_0 (root mean square), against {unchanged:.3f} for "it stays as it is". '
        f"The model is nearer in {nearer:.0%} of the chains, and {covered:.0%} of what then happened lies in its 95 % bands. "
        f"So here it forecasts {worse if error > unchanged else 'better than that'}."
    )


def _score(run: ComparedRun) -> ForecastScore | None:
    """In units of S_0; None where S is missing or the chain is too short."""
    power = [run.value("power_ratio", k) for k in range(1, run.last + 1)]
    ratios = [value for value in power if value is not None and value > 0.0]
    if len(ratios) < run.last:
        return None
    deviation, unit = run.value("power_spread", 1), run.value("power", 0)
    tested = backtest(ratios, deviation / unit if deviation and unit else None)
    return tested[1] if tested else None
