"""A cache or project that is full or read only: one sentence with the path, exit status 2, and a doctor that reports it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_chain import dvc, environment, new_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small disk"),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False).returncode:
        pytest.skip("this container may not mount a small disk")
    yield place
    subprocess.run(["umount", place], check=True)


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", ["full", "read only"])
def test_a_cache_that_takes_nothing(tmp_path: Path, tiny_model: Path, small_disk: Path, kind: str) -> None:
    project = new_project(tmp_path / "p", tiny_model, iterations=1)
    cache = small_disk / "cache"
    (cache / "files/md5").mkdir(parents=True)
    dvc(project, "cache", "dir", str(cache))
    if kind == "full":
        with pytest.raises(OSError), (small_disk / "rest").open("wb", buffering=0) as file:
            while file.write(bytes(1024)):
                pass
    else:
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    told = run(project, "repro", "prepare")
    assert told.returncode == 2, told.stderr
    last = told.stderr.splitlines()[-1]
    assert last.startswith("Error: ") and str(cache) in last and "Traceback" not in told.stderr
    doctor = run(project, "doctor")
    assert doctor.returncode == 1 and "Traceback" not in doctor.stderr
    assert [line for line in doctor.stdout.splitlines() if line.startswith("problem") and str(cache) in line]


def test_a_project_that_is_read_only(tmp_path: Path, tiny_model: Path) -> None:
    project = new_project(tmp_path / "p", tiny_model, iterations=1)
    dvc(project, "status")  # which makes .dvc/tmp
    seen = tmp_path / "seen"
    seen.mkdir()
    if subprocess.run(["mount", "--bind", project, seen], check=False).returncode:
        pytest.skip("this container may not mount a folder")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", seen], check=True)
        for command in (("repro",), ("remote", "../shared"), ("exp", "run", "-S", "cfg=2.5")):
            told = run(seen, *command)
            assert told.returncode == 2 and "Read-only file system" in told.stderr and "Traceback" not in told.stderr
        assert run(seen, "status").returncode == 0
        assert f"cannot write to {seen}" in run(seen, "doctor").stdout
    finally:
        subprocess.run(["umount", seen], check=True)
