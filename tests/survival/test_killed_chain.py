"""`dvc repro` of the real stages, killed at random moments until it has had enough; then as if nothing had been."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline import warm
from survival.dvc_kills import torn_objects
from survival.running import kill_after, moments, start
from survival.workshop import visible, wrong_files
from test_chain import dvc, environment, new_project, set_params
from train.train_project import needs_sd_scripts

KILLS, SEED = int(os.environ.get("SURVIVAL_KILLS", "36")), int(os.environ.get("SURVIVAL_SEED", "0"))


@contextmanager
def warm_server(project: Path, socket: Path) -> Iterator[None]:
    """Stages of the undisturbed chain run in forks: quicker, and the same bytes."""
    server = subprocess.Popen([sys.executable, "-m", "pipeline.warm", str(socket)], cwd=project, env=environment())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(warm.SOCKET, str(socket))
        try:
            while not socket.exists():
                assert server.poll() is None
                time.sleep(0.05)
            yield
        finally:
            server.kill()
            server.wait()


def chain_with_kills(
    tmp_path: Path, model: Path, kills: list[tuple[str, float]], iterations: int, **params: object
) -> list[str]:
    """Kill a chain at these moments, then let it end; it must be as an undisturbed one. Returns where."""
    fresh = new_project(tmp_path / "fresh", model, iterations)
    set_params(fresh, **params)
    undisturbed, project = (Path(shutil.copytree(fresh, tmp_path / name)) for name in ("undisturbed", "killed"))
    with warm_server(undisturbed, tmp_path / "socket"):
        dvc(undisturbed, "repro")
    whole, lock = visible(undisturbed), (undisturbed / "dvc.lock").read_text()
    waiting, hits = list(kills), []
    while waiting:
        target, seconds = waiting[0]
        # Without a server of its own, whose forks compute beside this session: the moments count what the session computes.
        started = start(project, tmp_path / "repro.log", "pipeline", "repro", **{warm.SOCKET: "none"})
        killed = kill_after(started, target, seconds)
        said = started.said()
        assert started.left_behind() == [], target
        assert wrong_files(project, whole) == [], said
        assert torn_objects(project / ".dvc/cache") == [], said
        if killed:
            waiting.pop(0)
            hits.append(f"{target} after {seconds:.1f} s: {(said.splitlines() or ['before a word'])[-1]}")
            print(f"killed {hits[-1]}", flush=True)
            continue
        assert started.process.returncode == 0, said
        assert visible(project) == whole
        # The chain has ended before the kills have: once more from the start.
        shutil.rmtree(project)
        shutil.copytree(fresh, project)
    done = start(project, tmp_path / "repro.log", "pipeline", "repro")
    assert done.process.wait() == 0, done.said()
    assert visible(project) == whole
    assert (project / "dvc.lock").read_text() == lock
    return hits


@pytest.mark.slow
def test_a_chain_killed_many_times_ends_as_an_undisturbed_one(tmp_path: Path, tiny_model: Path) -> None:
    kills = moments(SEED, KILLS, longest=10.0)
    assert len(chain_with_kills(tmp_path, tiny_model, kills, iterations=2, trainer="builtin", epochs=8)) == KILLS


@pytest.mark.slow
@needs_sd_scripts
def test_a_chain_with_sd_scripts_killed_many_times_ends_as_an_undisturbed_one(tmp_path: Path, tiny_model: Path) -> None:
    kills = moments(SEED, KILLS, longest=25.0)
    (tmp_path / "vendor").symlink_to(Path(__file__).resolve().parents[2] / "vendor")
    assert len(chain_with_kills(tmp_path, tiny_model, kills, iterations=1, trainer="kohya")) == KILLS
