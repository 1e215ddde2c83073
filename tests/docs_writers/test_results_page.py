"""docs/results.md is what the tables say, and `python -m docs.writers` writes it."""

from __future__ import annotations

import csv
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from docs.writers.__main__ import write_pages, write_results
from docs.writers.tables import read_settings
from pipeline.core.errors import UserError
from project import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The study's tables, pictures and words; not the page, nor its figures."""
    (tmp_path / "docs/results").mkdir(parents=True)
    for source in [*(ROOT / "docs/results").glob("*.csv"), *(ROOT / "docs/results").glob("default-*.png")]:
        shutil.copy(source, tmp_path / "docs/results")
    for name in ("results_notes.md", "measures.md"):
        shutil.copy(ROOT / "docs" / name, tmp_path / "docs")
    shutil.copytree(ROOT / "sweeps", tmp_path / "sweeps")
    (tmp_path / "dvc.yaml").touch()
    return tmp_path


def test_the_pages_in_docs_are_what_tables_and_measures_say(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "docs")
    write_pages(project)
    for name in ("docs/results.md", "docs/measures.md"):
        assert (project / name).read_text() == (ROOT / name).read_text(), "run 'python -m docs.writers'"


def test_every_image_of_the_page_is_there_and_whole(project: Path) -> None:
    write_results(project)
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (project / "docs/results.md").read_text())
    assert len(shown) > 8
    for name in shown:
        file = project / "docs" / name
        assert file.is_file(), name
        if file.suffix == ".svg":
            ElementTree.parse(file)


def test_a_number_of_the_table_reaches_the_page(project: Path) -> None:
    table = project / "docs/results/default.csv"
    rows = list(csv.DictReader(table.open()))
    for row in rows:
        if (row["arm"], row["k"]) == ("cfg7.5", "6"):
            row["recall"] = "0.123456"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_results(project)
    assert "| 0.123 |" in (project / "docs/results.md").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "default.csv does not exist; make it with 'redifine sweep collect'"),
        ("arm,seed,k\n", "default.csv has no rows"),
        ("arm,seed,k,fid\na,0,1,x\n", "line 2 must have arm, seed, k and numbers"),
        ("arm,k,fid\na,1,2\n", "line 2 must have arm, seed, k and numbers"),
        ("arm,seed,k,fid\na,0,2,5\n", "lacks k = 1 of a, seed 0"),
    ],
    ids=["missing", "empty", "text", "no seed", "no k = 1"],
)
def test_tables_that_are_none_are_refused_and_nothing_is_written(project: Path, content: str | None, message: str) -> None:
    table = project / "docs/results/default.csv"
    table.unlink() if content is None else table.write_text(content)
    with pytest.raises(UserError, match=message):
        write_results(project)
    assert not (project / "docs/results.md").exists()


def test_arms_are_read_in_the_tables_order(project: Path) -> None:
    assert [setting.name for setting in read_settings(project / "docs/results/default.csv")][:2] == ["cfg7.5", "cfg1"]
