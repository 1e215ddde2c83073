"""The page's word on the selection model's forecasts."""

from __future__ import annotations

import numpy as np

from docs.writers.forecasts import paragraph
from pipeline.studies.compare.groups import Setting, group_runs
from pipeline.studies.compare.runs import TableRow, runs_from_rows


def chains(powers: list[list[float]]) -> list[Setting]:
    rows = [
        TableRow("a", seed, k, {"power": power, "power_ratio": power / values[0], "fid": 1.0})
        for seed, values in enumerate(powers)
        for k, power in enumerate(values)
    ]
    return group_runs(runs_from_rows(rows))


def test_a_steady_drift_is_forecast_better_than_no_change_and_its_error_is_in_units_of_s_0() -> None:
    drifting = [0.05 + 0.004 * k for k in range(10)]
    said = paragraph(chains([drifting]))
    # After k = 6 it goes on for 3 iterations of 0.08 S_0 each.
    assert f"against {0.08 * np.sqrt((1 + 4 + 9) / 3):.3f} for" in said
    assert "forecasts better than that" in said and said.startswith("**Forecasts by the selection model**")


def test_chains_that_are_too_short_say_nothing() -> None:
    assert paragraph(chains([[0.05, 0.06, 0.07]])) == ""
