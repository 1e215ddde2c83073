"""A finished project, and a world of its own for each test that changes something."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def finished_chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of three iterations; read only."""
    from provenance.share.share_project import finished_project

    return finished_project(tmp_path_factory.mktemp("share") / "a")


@pytest.fixture
def project(finished_chain: Path, tmp_path: Path) -> Path:
    """A copy of the finished project with its Git remote, to change at will."""
    shutil.copytree(finished_chain.parent, tmp_path / "world", symlinks=True)
    return tmp_path / "world/a"
