"""`redifine theory` as a user runs it."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pipeline.cli.theory import theory
from pipeline.core.errors import UserError
from pipeline.studies.compare.groups import group_runs
from pipeline.studies.compare.runs import TableRow, runs_from_rows
from pipeline.studies.theory.fit_and_forecast import Assumptions, describe_fit, fit_settings, forecast_settings
from pipeline.studies.theory.measured_power import MeasuredSetting, read_settings
from pipeline.theory.fit import fit_power

POWERS = [0.052, 0.048, 0.050, 0.053, 0.057, 0.061, 0.062]


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    for k, power in enumerate(POWERS):
        (tmp_path / "metrics").mkdir(exist_ok=True)
        (tmp_path / f"metrics/{k}.json").write_text(json.dumps({"k": k, "power": power}))
    return tmp_path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(theory, [str(argument) for argument in arguments])


def _is_svg(path: Path) -> bool:
    return ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def _refusal(*arguments: object) -> str:
    error = _run(*arguments).exception
    assert isinstance(error, UserError)
    return str(error)


def test_simulate_draws_the_papers_settings_and_both_soft_truncations(tmp_path: Path) -> None:
    result = _run("simulate", "--out", tmp_path, "--size", 1000, "--replicates", 4)
    assert result.exit_code == 0, result.output
    assert _is_svg(tmp_path / "cfg.svg")
    assert _is_svg(tmp_path / "redifine.svg")
    assert "two standard errors" in (tmp_path / "cfg.svg").read_text()
    rows = list(csv.DictReader((tmp_path / "simulation.csv").open()))
    assert len({row["setting"] for row in rows}) == 6
    assert all(abs(float(row["mean"]) - float(row["simulated"])) < 0.1 for row in rows)
    assert "exp(-0.1 d)" in result.output
    assert "exp(-d / 0.1)" in result.output


def test_fit_prints_parameters_and_writes_curve_and_figure(chain: Path, tmp_path: Path) -> None:
    result = _run("fit", "--run", chain, "--start", 1, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert all(word in result.output for word in ("r1", "r2", "sigma_E", "95 %", "delta method"))
    assert _is_svg(tmp_path / "out/fit.svg")
    (written,) = json.loads((tmp_path / "out/fit.json").read_text())
    assert list(written["powers"].values()) == [POWERS[1:]]
    assert written["curve"] == fit_power([POWERS[1:]]).curve


def test_fit_and_forecast_print_json_on_demand(chain: Path, tmp_path: Path) -> None:
    (fit,) = json.loads(_run("fit", "--run", chain, "--start", 0, "--json", "--out", tmp_path).output)
    assert len(fit["curve"]) == len(fit["low"]) == len(POWERS)
    (forecast,) = json.loads(_run("forecast", "--run", chain, "--from", 4, "--json", "--out", tmp_path).output)
    assert forecast["iterations"] == [5, 6]
    assert forecast["happened"] == POWERS[5:]
    assert forecast["score"]["error"] > 0


def test_a_forecast_can_reach_beyond_what_has_happened(chain: Path, tmp_path: Path) -> None:
    result = _run("forecast", "--run", chain, "--start", 1, "--from", 5, "--until", 8, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["6", "7", "8"]
    assert lines[2].endswith("0.06200")
    assert lines[4].endswith("-")
    assert _is_svg(tmp_path / "forecast.svg")


def test_equal_runs_write_equal_bytes(chain: Path, tmp_path: Path) -> None:
    for out in ("first", "again"):
        _run("fit", "--run", chain, "--out", tmp_path / out)
        _run("wright-fisher", "--out", tmp_path / out, "--size", 10, "--iterations", 5, "--replicates", 4)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["fit.json", "fit.svg", "wright-fisher.csv", "wright-fisher.svg"]
    assert all((tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_wright_fisher_compares_every_size_with_the_closed_form(tmp_path: Path) -> None:
    result = _run("wright-fisher", "--out", tmp_path, "--size", 10, "--size", 40, "--iterations", 8)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "wright-fisher.csv").open()))
    assert float(rows[8]["expected"]) == pytest.approx(0.9**8)
    assert {row["size"] for row in rows} == {"10", "40"}
    drawn = (tmp_path / "wright-fisher.svg").read_text()
    assert "two standard errors" in drawn and "N = 10" in drawn and "N = 40" in drawn


def test_too_short_or_missing_runs_are_refused(chain: Path, tmp_path: Path) -> None:
    assert "at least 3 iterations" in _refusal("fit", "--run", chain, "--start", 4, "--out", tmp_path)
    assert "at least 3 iterations" in _refusal("forecast", "--run", chain, "--from", 2, "--out", tmp_path)
    assert "does not exist" in _refusal("fit", "--run", tmp_path / "nowhere", "--out", tmp_path)
    assert "--from 9" in _refusal("forecast", "--run", chain, "--from", 9, "--out", tmp_path)
    assert "nothing is left to predict" in _refusal("forecast", "--run", chain, "--from", 6, "--out", tmp_path)


def test_metrics_without_power_are_named(chain: Path, tmp_path: Path) -> None:
    (chain / "metrics/3.json").write_text('{"k": 3}')
    assert "k = 3 has no power" in _refusal("fit", "--run", chain, "--out", tmp_path)


def _settings() -> list[MeasuredSetting]:
    """Two settings of two runs each, as `redifine compare` groups them."""
    rows = [
        TableRow(arm, seed, k, {"power": power * (factor + 0.02 * seed), "power_spread": 0.02 + 0.01 * seed})
        for arm, factor in (("cfg1", 1.0), ("cfg7.5", 1.5))
        for seed in (0, 1)
        for k, power in enumerate(POWERS)
    ]
    return read_settings(group_runs(runs_from_rows(rows)), start=1)


def test_the_runs_of_a_setting_share_one_fit_and_settings_one_figure(tmp_path: Path) -> None:
    settings = _settings()
    assert [len(setting.powers) for setting in settings] == [2, 2]
    assert settings[0].deviation == pytest.approx(((0.02**2 + 0.03**2) / 2) ** 0.5)
    fits = fit_settings(settings, Assumptions(), tmp_path)
    both = fit_power([POWERS[1:], [1.02 * power for power in POWERS[1:]]], settings[0].deviation)
    assert fits[0].r1 == pytest.approx(both.r1, rel=1e-6)
    figure = (tmp_path / "fit.svg").read_text()
    assert "cfg1" in figure and "cfg7.5" in figure
    assert [entry["setting"] for entry in json.loads((tmp_path / "fit.json").read_text())] == ["cfg1", "cfg7.5"]
    assert "2 runs" in describe_fit(settings[0], fits[0])


def test_a_forecast_of_several_settings_has_a_panel_for_each(tmp_path: Path) -> None:
    predicted = forecast_settings(_settings(), 4, None, Assumptions(), tmp_path)
    assert [prediction.happened for prediction in predicted] == [
        pytest.approx([1.01 * power for power in POWERS[5:]]),
        pytest.approx([1.51 * power for power in POWERS[5:]]),
    ]
    assert (tmp_path / "forecast.svg").read_text().count(": from k = ") == 2


def test_a_run_that_ended_before_the_forecast_has_no_part_in_it(tmp_path: Path) -> None:
    (whole, other) = _settings()
    cut = replace(whole, powers=(whole.powers[0], tuple(9.0 for _ in whole.powers[1][:2])))
    alone = replace(whole, runs=whole.runs[:1], powers=whole.powers[:1])
    assert forecast_settings([cut], 4, None, Assumptions(), tmp_path) == forecast_settings(
        [alone], 4, None, Assumptions(), tmp_path
    )


@pytest.mark.parametrize("option", ["--mutation", "--tail", "--sigma-g0"])
def test_a_number_that_is_none_is_refused(chain: Path, option: str) -> None:
    refused = _run("fit", "--run", chain, option, "nan")
    assert refused.exit_code == 2 and "nan is not a finite number" in refused.output


def test_mutation_and_soft_truncation_change_the_fit(chain: Path, tmp_path: Path) -> None:
    (plain,) = json.loads(_run("fit", "--run", chain, "--json", "--out", tmp_path).output)
    (other,) = json.loads(_run("fit", "--run", chain, "--json", "--mutation", 2, "--tail", 0.4, "--out", tmp_path).output)
    assert (other["mutation"], other["tail"]) == (2.0, 0.4)
    assert other["r1"] - other["r2"] > plain["r1"] - plain["r2"]


def test_a_folder_and_a_revision_at_once_are_refused(chain: Path) -> None:
    assert "give one of the two" in _refusal("fit", "main", "--run", chain)


def test_every_command_explains_itself() -> None:
    context = click.Context(theory)
    commands = {name: theory.get_command(context, name) for name in theory.list_commands(context)}
    assert set(commands) == {"simulate", "fit", "forecast", "wright-fisher"}
    assert all(command is not None and command.help for command in commands.values())
