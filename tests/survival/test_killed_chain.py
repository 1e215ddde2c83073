"""`dvc repro` of the real stages, killed at random moments until it has had enough; then as if nothing had been."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.run import fork_client
from pipeline.run.status.times import kind_of, read_times
from survival.dvc_kills import torn_objects
from survival.running import TARGETS, kill_after, start
from survival.workshop import visible, wrong_files
from test_chain import dvc, environment, new_project, set_params
from train.train_project import needs_sd_scripts

KILLS, SEED = int(os.environ.get("SURVIVAL_KILLS", "36")), int(os.environ.get("SURVIVAL_SEED", "0"))
WORKING = {"train", "sample", "measure"}
"""Stages that have much to lose; many kills must strike all of them."""
START_UP = 5.0
"""Seconds of computing that a stage takes before it does anything, without the fork server."""


@contextmanager
def fork_server(project: Path, socket: Path) -> Iterator[None]:
    """Stages of the undisturbed chain run in forks: quicker, and the same bytes."""
    server = subprocess.Popen([sys.executable, "-m", "pipeline.cli.fork_server", str(socket)], cwd=project, env=environment())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(fork_client.SOCKET, str(socket))
        try:
            while not socket.exists():
                assert server.poll() is None
                time.sleep(0.05)
            yield
        finally:
            server.kill()
            server.wait()


@dataclass(frozen=True)
class Strike:
    """A kill to come: of what, and after how many seconds of computing from when `stage`, or one after it, runs."""

    target: str
    stage: str
    seconds: float


def strikes(order: list[str], seconds: Mapping[str, float]) -> list[Strike]:
    """KILLS of them, spread over the stages in their order; each target as often as the others.

    Early moments are likelier than late ones: a stage that imports little has ended, and the next one is struck, long before.
    """
    chance = random.Random(SEED)
    stages = [order[i * len(order) // KILLS] for i in range(KILLS)]
    return [Strike(TARGETS[i % len(TARGETS)], stage, seconds[stage] * chance.random() ** 2) for i, stage in enumerate(stages)]


def announced(said: str) -> list[str]:
    """The stages that DVC says it runs, in its order."""
    return re.findall(r"Running stage '(.+?)'", said)


def chain_with_kills(tmp_path: Path, model: Path, iterations: int, **params: object) -> list[str]:
    """Kill a chain KILLS times, then let it end; it must be as an undisturbed one. Returns the stages that were killed."""
    fresh = new_project(tmp_path / "fresh", model, iterations)
    set_params(fresh, **params)
    undisturbed, project = (Path(shutil.copytree(fresh, tmp_path / name)) for name in ("undisturbed", "killed"))
    with fork_server(undisturbed, tmp_path / "socket"):
        order = announced(dvc(undisturbed, "repro").stdout)
    whole, lock = visible(undisturbed), (undisturbed / "dvc.lock").read_text()
    times = read_times(undisturbed)
    waiting, hits = strikes(order, {stage: START_UP + times[kind_of(stage)] for stage in order}), []
    while waiting:
        strike = waiting[0]
        due = set(order[order.index(strike.stage) :])
        # Without a server of its own, whose forks compute beside this session: the moments count what the session computes.
        started = start(project, tmp_path / "repro.log", "pipeline", "repro", **{fork_client.SOCKET: "none"})
        killed = kill_after(started, strike.target, strike.seconds, lambda said, due=due: bool(due & set(announced(said))))
        said = started.said()
        assert started.left_behind() == [], strike
        assert wrong_files(project, whole) == [], said
        assert torn_objects(project / ".dvc/cache", linked_whole=True) == [], said
        if killed:
            waiting.pop(0)
            hits.append(announced(said)[-1])
            print(f"killed {strike.target} after {strike.seconds:.1f} s from {strike.stage}, in {hits[-1]}", flush=True)
            continue
        assert started.process.returncode == 0, said
        assert visible(project) == whole
        # The chain has ended before the kills have: once more from the start, and sooner.
        waiting[0] = replace(strike, seconds=strike.seconds / 2)
        shutil.rmtree(project)
        shutil.copytree(fresh, project)
    done = start(project, tmp_path / "repro.log", "pipeline", "repro")
    assert done.process.wait() == 0, done.said()
    assert visible(project) == whole
    assert (project / "dvc.lock").read_text() == lock
    return hits


@pytest.mark.slow
def test_a_chain_killed_many_times_ends_as_an_undisturbed_one(tmp_path: Path, tiny_model: Path) -> None:
    hits = chain_with_kills(tmp_path, tiny_model, iterations=2, trainer="builtin", epochs=8)
    assert len(hits) == KILLS
    assert KILLS < 30 or {kind_of(stage) for stage in hits} >= WORKING


@pytest.mark.slow
@needs_sd_scripts
def test_a_chain_with_sd_scripts_killed_many_times_ends_as_an_undisturbed_one(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "vendor").symlink_to(Path(__file__).resolve().parents[2] / "vendor")
    hits = chain_with_kills(tmp_path, tiny_model, iterations=1, trainer="kohya")
    assert len(hits) == KILLS
    assert KILLS < 30 or {kind_of(stage) for stage in hits} >= WORKING
