"""Fixtures that several test folders share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small random Stable Diffusion in diffusers layout; read only."""
    from tiny import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small random SDXL in diffusers layout; read only."""
    from tiny import write_tiny_xl

    return write_tiny_xl(tmp_path_factory.mktemp("tiny_xl"))
