"""Fixtures of the trainers' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.chain.paths import Layout
from train.train_project import write_project


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Layout:
    return write_project(tmp_path / "project", tiny_model)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Callable[[list[str]], Layout]:
    """Make a project from captions, for fixtures that live longer than a test."""
    return lambda captions: write_project(tmp_path_factory.mktemp("project"), tiny_model, captions)
