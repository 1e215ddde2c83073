"""A real Slurm for the tests that need one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from project import ROOT
from studies.sweep import slurm_cluster
from studies.sweep.slurm_cluster import Cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two idle nodes, which the test's own process uses as well."""
    if slurm_cluster.missing():
        pytest.skip("Slurm is not installed; 'make slurm' installs it")
    with (
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        slurm_cluster.running(Path(folder)) as started,
        pytest.MonkeyPatch.context() as patch,
    ):
        for key, value in started.environment.items():
            patch.setenv(key, value)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(ROOT))
        yield started
