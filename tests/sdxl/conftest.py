"""A very small SDXL that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import write_tiny_xl


@pytest.fixture(scope="session")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small random SDXL in diffusers layout; read only."""
    return write_tiny_xl(tmp_path_factory.mktemp("tiny_xl"))
