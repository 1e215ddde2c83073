"""The map of the papers' figures is whole, and says what the sweep files say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from docs.writers import paper
from pipeline.chain import params, presets
from pipeline.cli.sweep import figure
from pipeline.core.errors import UserError
from pipeline.studies.sweep import figures
from pipeline.studies.sweep.plan import chains
from project import ROOT

SWEEPS = paper.all_sweeps(ROOT / "sweeps")
FIGURES = figures.paper_figures(ROOT / "sweeps")


def numbers(text: str) -> set[int]:
    """Figures that a sweep's header names: "Fig. 2, 8-10, C.3" -> 2, 8, 9, 10."""
    match = re.search(r"Fig\. ([0-9ab, -]+)", text)
    found: set[int] = set()
    for part in match.group(1).split(",") if match else []:
        ends = [int(end) for end in re.findall(r"\d+", part)]
        found |= set(range(ends[0], ends[-1] + 1)) if ends else set()
    return found


def test_every_figure_of_the_paper_is_on_the_map() -> None:
    assert {int(n) for entry in FIGURES for n in re.findall(r"Fig\. (\d+)", entry.name)} == set(range(1, 41))


@pytest.mark.parametrize("entry", [e for e in FIGURES if e.sweep.startswith("fig")], ids=lambda e: e.name)
def test_the_sweep_of_a_figure_names_that_figure(entry: figures.PaperFigure) -> None:
    (number,) = re.findall(r"Fig\. (\d+)", entry.name)
    assert int(number) in numbers(SWEEPS[entry.sweep].paper) | ({4} if entry.sweep == "fig6-cfg" else set())


def test_every_sweep_of_a_figure_is_on_the_map() -> None:
    assert {entry.sweep for entry in FIGURES} - {""} == set(SWEEPS) - {"results", "default"}


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / paper.PAGE).read_text() == paper.page(SWEEPS, ROOT / "sweeps"), "run 'python -m docs.writers'"


@pytest.mark.parametrize(("asked", "sweep"), [("12", "fig2-size"), ("Fig. 30", "fig30-long"), ("fig2-noise", "fig2-noise")])
def test_a_figure_is_found_by_number_and_by_sweep(asked: str, sweep: str) -> None:
    assert figures.find(asked, ROOT / "sweeps").sweep == sweep


def test_an_unknown_figure_is_told() -> None:
    with pytest.raises(UserError, match="no figure or sweep is called '99'"):
        figures.find("99", ROOT / "sweeps")


def test_the_command_prints_every_chain_and_what_compares_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    output = CliRunner().invoke(figure, ["30"]).output
    assert all(chain.command() in output for chain in chains(Path("sweeps/fig30-long.yaml")))
    assert "redifine compare fig30-long-{cfg2.5,redifine}-{0,1,2} --metric fid --metric recall --metric power_ratio\n" in output


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "presets").glob("*.yaml"))])
def test_every_preset_says_what_it_is_and_fits_params_yaml(name: str, tmp_path: Path) -> None:
    file = Path(shutil.copy(ROOT / "params.yaml", tmp_path))
    presets.write_presets([name], file, ROOT / "presets")
    params.load(file)
    assert len(presets.available(ROOT / "presets")[name]) > 10
