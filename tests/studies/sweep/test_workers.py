"""Workers on one machine do not get in each other's way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.core import machine
from pipeline.studies.sweep import local
from pipeline.studies.sweep.chain_run import SweepContext
from pipeline.studies.sweep.worker import Worker


@pytest.fixture
def four_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the driver's own program."""
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\n[ "$*" = "--query-gpu=index --format=csv,noheader" ] && printf "0\\n1\\n2\\n3\\n"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in (machine.VISIBLE, "REDIFINE_PROCESSES", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def workers_of(clone: Path, count: int) -> list[Worker]:
    return local._workers(SweepContext(clone, commit="", cache=clone), count)


def seen(folder: Path, workers: int) -> list[str | None]:
    """The GPUs that the processes of each worker see; None: all."""
    return [worker.environment().get(machine.VISIBLE) for worker in workers_of(folder, workers)]


def test_each_worker_has_a_gpu_of_its_own(four_gpus: None, tmp_path: Path) -> None:
    assert seen(tmp_path, 3) == ["0", "1", "2"]


def test_only_those_that_the_user_chose(four_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(machine.VISIBLE, "2,GPU-7f")
    assert seen(tmp_path, 3) == ["2", "GPU-7f", "2"]


def test_a_chain_on_several_gpus_has_several(four_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIFINE_PROCESSES", "2")
    assert seen(tmp_path, 2) == ["0,1", "2,3"]


@pytest.mark.parametrize("chosen", ["0", ""], ids=["one", "none"])
def test_one_gpu_or_none_is_left_as_it_is(
    four_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    monkeypatch.setenv(machine.VISIBLE, chosen)
    assert seen(tmp_path, 2) == [chosen, chosen]


def test_a_machine_without_the_driver_has_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(machine.VISIBLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpus() == []
    assert seen(tmp_path, 1) == [None]


def test_cores_are_shared_out_and_threads_are_as_many_unless_fewer_are_asked_for(
    four_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: [0, 1, 2, 3, 4, 5])
    assert [(worker.cores, worker.threads) for worker in workers_of(tmp_path, 2)] == [([0, 1, 2], 3), ([3, 4, 5], 3)]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert [worker.threads for worker in workers_of(tmp_path, 2)] == [1, 1]
    assert [worker.cores for worker in workers_of(tmp_path, 7)][5:] == [[5], [0]]
