"""DVC is killed while it writes its cache, its lock files or the work tree; while it sends and fetches."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from pathlib import Path

import pytest

from pipeline.run.repro import repair
from provenance.share.share_project import clone, dvc, finished_project, git, new_project, ran, tree
from survival.dvc_kills import Run, count_operations, objects, run, seen, torn_objects
from survival.preload import Action, Faults, Kind, Where, needs_compiler

pytestmark = needs_compiler

SKIP = ("/.git/", "/__pycache__/")
KILLS, SEED = int(os.environ.get("SURVIVAL_KILLS", "36")), int(os.environ.get("SURVIVAL_SEED", "0"))
ALL = Kind.WRITES | Kind.REMOVALS


def kill_in(project: Path, faults: Faults, at: int, *command: str) -> Run:
    """Run a command that is killed at its `at`-th operation, if it gets so far."""
    faults.arm(Action.KILL, ALL, at=at, where=Where.OTHERS)
    done = run(project, faults, *command)
    assert done.status == (-9 if faults.fired else 0), done.said
    return done


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing has run, in a world of its own; read only."""
    return new_project(tmp_path_factory.mktemp("fresh") / "world/a", iterations=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has run, with a DVC remote beside it, to which nothing has been sent; read only."""
    return finished_project(tmp_path_factory.mktemp("finished") / "world/a")


def copied(project: Path, world: Path) -> Path:
    shutil.copytree(project.parent, world, symlinks=True)
    return world / project.name


def repro_with_kills(fresh: Path, tmp_path: Path, kills: int, chance: random.Random) -> list[str]:
    """Kill `dvc repro` so many times, in as many chains as it takes; each ends as an undisturbed one. Returns where."""
    whole = copied(fresh, tmp_path / "whole")
    faults = Faults(whole, tmp_path / "state", SKIP)
    operations = count_operations(whole, faults, "dvc", "repro")
    outputs, lock = seen(whole), (whole / "dvc.lock").read_text()
    hits: list[str] = []
    while len(hits) < kills:
        project = copied(fresh, tmp_path / f"killed-{len(hits)}")
        faults = Faults(project, tmp_path / "state", SKIP)
        struck = True
        while struck:
            at = chance.randint(1, operations) if len(hits) < kills else operations * 9
            faults.arm(Action.KILL, ALL, at=at, where=Where.OTHERS)
            done = run(project, faults, "dvc", "repro")
            struck = faults.fired
            assert done.status == (-9 if struck else 0), done.said
            assert {name for name, digest in seen(project).items() if outputs.get(name) != digest} == set(), faults.hit
            assert torn_objects(project / ".dvc/cache") == [], faults.hit
            if struck:
                hits.append(faults.hit)
                hits[-1] += "".join(f"; {sentence}" for sentence in repair(project))
                print(f"dvc killed at {hits[-1]}", flush=True)
        assert seen(project) == outputs
        assert (project / "dvc.lock").read_text() == lock
        shutil.rmtree(project.parent)
    return hits


def test_a_dvc_killed_in_its_own_writing_goes_on_to_the_same_outputs(fresh: Path, tmp_path: Path) -> None:
    assert len(repro_with_kills(fresh, tmp_path, 1, random.Random(1))) == 1


@pytest.mark.slow
def test_many_kills_of_dvc_in_its_own_writing(fresh: Path, tmp_path: Path) -> None:
    assert len(repro_with_kills(fresh, tmp_path, KILLS, random.Random(SEED))) >= KILLS


@pytest.mark.parametrize(("end", "committed"), [("half", True), ("a value", True), ("a line", True), ("not UTF-8", False)])
def test_a_torn_dvc_lock_is_mended_and_nothing_runs_again(finished: Path, tmp_path: Path, end: str, committed: bool) -> None:
    project = copied(finished, tmp_path / "world")
    lock = project / "dvc.lock"
    whole, count, outputs = lock.read_bytes(), len(ran(project)), seen(project)
    if not committed:
        git(project, "rm", "--quiet", "--cached", "dvc.lock")
        git(project, "commit", "--quiet", "-m", "as if it never had been")
    middle = whole.index(b"hash: md5", len(whole) // 2)
    torn = {
        "half": whole[: len(whole) // 2 + 7], "a value": whole[: middle + len("hash: m")],
        "a line": whole[: middle + len("hash: md5\n")], "not UTF-8": whole + b"\xff",
    }  # fmt: skip
    lock.write_bytes(torn[end])
    sentences = repair(project)
    assert all("dvc.lock was torn" in sentence for sentence in sentences)
    assert bool(sentences) == (end != "a line"), "what ends with a line is YAML that DVC can use"
    dvc(project, "repro")
    assert (lock.read_bytes(), seen(project), len(ran(project))) == (whole, outputs, count)
    assert repair(project) == []


def test_a_torn_list_of_processes_and_unfinished_files_are_mended(finished: Path, tmp_path: Path) -> None:
    project = copied(finished, tmp_path / "world")
    (project / ".dvc/tmp/rwlock").write_text('{"write": {"/x')
    left = project / "data/.AbCdEfGhIjKlMnOpQrSt-_.tmp"
    left.write_text("half")
    mine = project / "data/mine.tmp"
    mine.write_text("mine")
    assert len(repair(project)) == 2
    assert not left.exists() and mine.exists()
    dvc(project, "repro")
    assert repair(project) == []


def killed_transfer(
    project: Path,
    outputs: dict[str, str],
    faults: Faults,
    operations: int,
    chance: random.Random,
    cache: Path,
    words: list[str],
) -> list[str]:
    """Kill a command twice, then let it end -> where. What has arrived in `cache` stays, and is whole; so is what is seen."""
    hits = []
    before: set[str] = set()
    for _ in range(2):
        kill_in(project, faults, chance.randint(1, operations), "pipeline", *words)
        if faults.fired:
            hits.append(f"{words[0]} killed at {faults.hit}")
            print(hits[-1], flush=True)
        assert torn_objects(cache, linked_whole=True) == [], faults.hit
        assert [name for name, digest in seen(project).items() if outputs[name] != digest] == [], faults.hit
        now = {path.name for path in objects(cache)}
        assert before <= now, "what was there has gone"
        before = now
    faults.arm(Action.COUNT, Kind(0))
    done = run(project, faults, "pipeline", *words)
    assert done.status == 0, done.said
    return hits


def transfers_with_kills(finished: Path, tmp_path: Path, kills: int, chance: random.Random) -> list[str]:
    """Kill `redifine share` and `redifine get` so many times, in as many worlds as it takes; all of it arrives."""
    hits: list[str] = []
    counts: dict[str, int] = {}
    for number in itertools.count():
        if len(hits) >= kills:
            return hits
        a = copied(finished, tmp_path / f"world-{number}")
        b, store = clone(a, "b"), a.parent / "store"
        for project, place, cache, words in ((a, store, store, ["share"]), (b, b, b / ".dvc/cache", ["get", "3"])):
            if words[0] not in counts:
                trial = copied(project, tmp_path / f"trial-{words[0]}")
                counts[words[0]] = count_operations(
                    trial, Faults(trial.parent / place.name, tmp_path / "trial", SKIP), "pipeline", *words
                )
            faults = Faults(place, tmp_path / "state", SKIP)
            hits += killed_transfer(project, seen(finished), faults, counts[words[0]], chance, cache, words)
        for name in ("data/D_3", "models/M_3"):
            assert tree(b / name) == tree(a / name)
        assert "everything is there already" in run(a, faults, "pipeline", "share").said
    raise AssertionError("count() has no end")


@pytest.mark.slow
def test_many_kills_of_share_and_get(finished: Path, tmp_path: Path) -> None:
    assert len(transfers_with_kills(finished, tmp_path, KILLS, random.Random(SEED))) >= KILLS
