"""A fresh workplace for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile.workplace import Workplace, write_workplace


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return write_workplace(root)
