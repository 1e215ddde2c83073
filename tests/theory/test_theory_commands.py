"""`redifine theory` as a user runs it."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pipeline.errors import UserError
from pipeline.theory.commands import theory
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
    written = json.loads((tmp_path / "out/fit.json").read_text())
    assert written["powers"] == POWERS[1:]
    assert written["curve"] == fit_power(POWERS[1:]).curve


def test_fit_and_forecast_print_json_on_demand(chain: Path, tmp_path: Path) -> None:
    fit = json.loads(_run("fit", "--run", chain, "--start", 0, "--json", "--out", tmp_path).output)
    assert len(fit["curve"]) == len(fit["low"]) == len(POWERS)
    forecast = json.loads(_run("forecast", "--run", chain, "--from", 4, "--json", "--out", tmp_path).output)
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
        _run("drift", "--out", tmp_path / out, "--size", 10, "--iterations", 5, "--replicates", 4)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["drift.csv", "drift.svg", "fit.json", "fit.svg"]
    assert all((tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_drift_compares_every_size_with_the_closed_form(tmp_path: Path) -> None:
    result = _run("drift", "--out", tmp_path, "--size", 10, "--size", 40, "--iterations", 8)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "drift.csv").open()))
    assert float(rows[8]["expected"]) == pytest.approx(0.9**8)
    assert {row["size"] for row in rows} == {"10", "40"}


def test_too_short_or_missing_runs_are_told(chain: Path, tmp_path: Path) -> None:
    assert "at least 3 iterations" in _refusal("fit", "--run", chain, "--start", 4, "--out", tmp_path)
    assert "at least 3 iterations" in _refusal("forecast", "--run", chain, "--from", 2, "--out", tmp_path)
    assert "does not exist" in _refusal("fit", "--run", tmp_path / "nowhere", "--out", tmp_path)
    assert "--from 9" in _refusal("forecast", "--run", chain, "--from", 9, "--out", tmp_path)
    assert "reach beyond" in _refusal("forecast", "--run", chain, "--from", 6, "--out", tmp_path)


def test_metrics_without_power_are_named(chain: Path, tmp_path: Path) -> None:
    (chain / "metrics/3.json").write_text('{"k": 3}')
    assert "metrics/3.json has no power" in _refusal("fit", "--run", chain, "--out", tmp_path)


def test_every_command_explains_itself() -> None:
    context = click.Context(theory)
    commands = {name: theory.get_command(context, name) for name in theory.list_commands(context)}
    assert set(commands) == {"simulate", "fit", "forecast", "drift"}
    assert all(command is not None and command.help for command in commands.values())
