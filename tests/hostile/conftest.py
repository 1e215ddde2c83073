"""A fresh workplace for every test, and the corpus as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hostile.workplace import Workplace, write_workplace

_WIDTHS = (44, 62, 62)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return write_workplace(root)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print input, expected and got of every row of the corpus, when it is asked for by name."""
    if "corpus" not in config.option.keyword:
        return
    reports = [
        report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, []) if report.when == "call"
    ]
    rows = [(report.outcome, dict(report.user_properties)["corpus"]) for report in reports if dict(report.user_properties)]
    terminalreporter.section(f"corpus: {len(rows)} inputs")
    terminalreporter.write_line(_line(("input", "expected", "got")))
    for outcome, row in rows:
        terminalreporter.write_line(_line(row) + ("" if outcome == "passed" else "  FAILED"))


def _line(cells: Any) -> str:
    shown = (str(cell).encode("unicode_escape").decode() for cell in cells)
    return "  ".join(cell[:width].ljust(width) for cell, width in zip(shown, _WIDTHS, strict=True))
