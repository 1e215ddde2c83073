"""A lock between machines: one at a time, through clean ends and deaths, and never two after one who is dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.studies.sweep import locks
from pipeline.studies.sweep.locks import LockOwner, Locks, is_dead
from project import ROOT


def lock_of(folder: Path, alive: bool | None = None, name: str = "a", said: list[str] | None = None) -> Locks:
    """As a chain `name` takes it, of whom `alive` is said."""
    heard = [] if said is None else said
    return Locks(folder, LockOwner.here(name), lambda owner: alive, heard.append)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deaths are noticed in tenths of a second."""
    for name, seconds in (("HEARTBEAT_SECONDS", 0.05), ("SILENT_SECONDS", 1.0), ("LOST_SECONDS", 2.0), ("_POLL_SECONDS", 0.02)):
        monkeypatch.setattr(locks, name, seconds)


def abandon(folder: Path, key: str) -> None:
    """Hold a lock in a process that dies without a word."""
    code = (
        "import os, pathlib; from pipeline.studies.sweep.locks import Locks, LockOwner\n"
        f"held = Locks(pathlib.Path({str(folder)!r}), LockOwner('dead', '7_1', 'elsewhere', 1), lambda owner: None, print)\n"
        f"with held.held({key!r}): os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 9


@pytest.mark.parametrize(
    ("silent", "alive", "dead"),
    [
        (1.0, False, False),  # its node may only have lost the cluster
        (31.0, False, True),
        (31.0, None, False),
        (181.0, None, True),
        (10_000.0, True, False),  # suspended, says Slurm
    ],
)
def test_a_holder_is_dead_when_it_is_silent_and_nobody_says_it_lives(silent: float, alive: bool | None, dead: bool) -> None:
    assert is_dead(silent, alive) is dead


def test_many_take_turns_and_none_overlap(tmp_path: Path, quick: None) -> None:
    inside, most, turns = 0, 0, 0
    guard = threading.Lock()

    def work(name: str) -> None:
        nonlocal inside, most, turns
        for _ in range(5):
            with lock_of(tmp_path, name=name).held("key"):
                with guard:
                    inside += 1
                    most, turns = max(most, inside), turns + 1
                time.sleep(0.01)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, 30)


def test_other_keys_do_not_wait(tmp_path: Path) -> None:
    with lock_of(tmp_path).held("one"), lock_of(tmp_path).held("two"):
        pass


def test_one_that_works_for_long_keeps_its_lock(tmp_path: Path, quick: None) -> None:
    """The file is touched, so that even who is told that the holder is gone waits."""
    order = []

    def second() -> None:
        with lock_of(tmp_path, alive=False, name="b").held("key"):
            order.append("b")

    with lock_of(tmp_path).held("key"):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(2.5)  # more than twice what counts as silence
        order.append("a")
    waiting.join()
    assert order == ["a", "b"]


@pytest.mark.parametrize(("alive", "seconds"), [(False, 1.0), (None, 2.0)])
def test_the_lock_of_a_dead_holder_goes_on(tmp_path: Path, quick: None, alive: bool | None, seconds: float) -> None:
    abandon(tmp_path, "key")
    os.utime(next(path for path in tmp_path.iterdir() if not path.name.startswith(".")))
    said: list[str] = []
    started = time.monotonic()
    with lock_of(tmp_path, alive, said=said).held("key"):
        waited = time.monotonic() - started
    assert waited > 0.9 * seconds  # the clocks of files and of processes differ a little
    assert said == ["waiting for dead (job 7_1 on elsewhere)"]


def test_of_many_who_wait_for_a_dead_one_each_gets_a_turn_of_its_own(tmp_path: Path, quick: None) -> None:
    abandon(tmp_path, "key")
    inside, most = [], 0

    def work() -> None:
        nonlocal most
        with lock_of(tmp_path, alive=False).held("key"):
            inside.append(1)
            most = max(most, len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_waiting_ends_when_told_to_stop(tmp_path: Path) -> None:
    with lock_of(tmp_path).held("key"):
        told = Locks(tmp_path, LockOwner.here("b"), lambda owner: True, lambda text: None, stopping=lambda: True)
        with pytest.raises(UserError, match="stopped"), told.held("key"):
            pass


def test_old_files_do_not_pile_up(tmp_path: Path) -> None:
    for _ in range(5):
        with lock_of(tmp_path).held("key"):
            pass
    assert len(list(tmp_path.iterdir())) == 1
