"""Run the chains of a sweep on this machine, some at a time, each on cores of its own."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core import machine
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.studies.sweep import progress_files, worktree
from pipeline.studies.sweep.chain_run import ChainRun, SweepContext
from pipeline.studies.sweep.locks import LockOwner
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.progress_files import ChainProgress, log_file
from pipeline.studies.sweep.segments import Segment, segments_of
from pipeline.studies.sweep.worker import Worker

_LOCK = worktree.FOLDER / "lock"


@dataclass(frozen=True)
class Outcome:
    """How a chain ended: done, skipped (it was there), failed or stopped."""

    chain: Chain
    state: str
    seconds: float = 0.0
    detail: str = ""


class ChainScheduler:
    """Hands out chains to workers: a chain holds its segments' keys until each is computed, and none starts that needs one."""

    def __init__(self, chains: Iterable[Chain]) -> None:
        self._waiting = list(chains)
        self._held: dict[str, set[str]] = {}
        self._changed = threading.Condition()

    def next_chain(self) -> Chain | None:
        """Wait for a chain that can start and return it; None when all have been handed out."""
        with self._changed:
            while self._waiting:
                for chain in self._waiting:
                    keys = {segment.lock_key for segment in segments_of(chain.params)}
                    if all(keys.isdisjoint(others) for others in self._held.values()):
                        self._waiting.remove(chain)
                        self._held[chain.name] = keys
                        return chain
                self._changed.wait()
            return None

    def release(self, chain: Chain, segment: Segment | None = None) -> None:
        """Give back the key of a segment that is in the cache now; without one, all keys of a chain that has ended."""
        with self._changed:
            if segment is None:
                self._held.pop(chain.name, None)
            else:
                self._held[chain.name].discard(segment.lock_key)
            self._changed.notify_all()

    def stop(self) -> None:
        """Hand out no more."""
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()


@dataclass
class LocalSweep:
    """One `redifine sweep run`: what all chains share, and how they ended."""

    context: SweepContext
    say: Callable[[str], None]
    scheduler: ChainScheduler
    outcomes: list[Outcome] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)


def run_chains(context: SweepContext, chains: list[Chain], workers: int, say: Callable[[str], None]) -> list[Outcome]:
    """Run what is not there yet; return the outcome of every chain, in the order in which they ended.

    Raises UserError before anything runs when another sweep runs here. Ctrl-C ends all children.
    """
    with _only_sweep(context.clone):
        there = {chain.name for chain in chains if worktree.find(context.clone, chain, context.commit)}
        todo = [chain for chain in chains if chain.name not in there]
        sweep = LocalSweep(context, say, ChainScheduler(todo))
        sweep.outcomes = [Outcome(chain, "skipped") for chain in chains if chain.name in there]
        count = min(workers, len(todo))
        say(f"{len(todo)} chains to run, {count} at a time, of commit {context.commit[:7]}; {len(there)} are there already")
        _run_all(sweep, _workers(context, count))
    ended = {outcome.chain.name for outcome in sweep.outcomes}
    return sweep.outcomes + [Outcome(chain, "stopped") for chain in chains if chain.name not in ended]


@contextmanager
def _only_sweep(clone: Path) -> Iterator[None]:
    """Allow one sweep a clone: two would share worktrees. The lock's file names this process, for `sweep cancel`."""
    file = clone / _LOCK
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("another sweep runs in this clone; wait for it, or run this one in a clone of its own") from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def running_process(clone: Path) -> int | None:
    """Return the process that runs a sweep in this clone, on this machine; None when none does."""
    with suppress(FileNotFoundError, ValueError), (clone / _LOCK).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read())
    return None


def is_alive(owner: LockOwner) -> bool | None:
    """Return whether a process of this machine runs; None for one of another machine."""
    if owner.host != socket.gethostname() or owner.job:
        return None
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _workers(context: SweepContext, count: int) -> list[Worker]:
    """Return workers, each with its share of the cores, and with GPUs of its own where there are several."""
    available, gpus = machine.cores(), machine.gpus()
    of_one = max(1, len(available) // max(count, 1))
    threads = machine.thread_count(of_one)
    cores = machine.assign_round_robin(available, count, of_one)
    own_gpus = machine.assign_round_robin(gpus if len(gpus) > 1 else [], count, machine.gpus_per_chain())
    folders = [context.clone.resolve() / worktree.FOLDER / str(i) for i in range(count)]
    places = zip(folders, cores, own_gpus, strict=True)
    server = context.fork_server
    return [Worker(folder, own_cores, threads, server, gpus=",".join(own)) for folder, own_cores, own in places]


def _run_all(sweep: LocalSweep, workers: list[Worker]) -> None:
    threads = [threading.Thread(target=_run_chains_of_worker, args=(sweep, worker)) for worker in workers]
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)
    except KeyboardInterrupt:
        sweep.say("stopping: what is finished stays in the cache, and the same command goes on from there")
        sweep.stopping.set()
        sweep.scheduler.stop()
        _stop(workers)
    finally:
        for thread in threads:
            thread.join()
        signal.signal(signal.SIGTERM, previous)


def _stop(workers: list[Worker]) -> None:
    """End what all of them run, at the same time."""
    stops = [threading.Thread(target=worker.stop) for worker in workers]
    for stop in stops:
        stop.start()
    for stop in stops:
        stop.join()


def _run_chains_of_worker(sweep: LocalSweep, worker: Worker) -> None:
    """Run chains until the scheduler has none left."""
    try:
        while (chain := sweep.scheduler.next_chain()) is not None:
            sweep.outcomes.append(_run_chain(sweep, worker, chain))
    finally:
        worker.close()


def _run_chain(sweep: LocalSweep, worker: Worker, chain: Chain) -> Outcome:
    started = time.monotonic()
    sweep.say(f"{chain.name}: started on core {', '.join(map(str, worker.cores))}, log {log_file(chain)}")
    current = ChainRun(
        sweep.context,
        worker,
        chain,
        LockOwner.here(chain.name),
        is_alive,
        on_computed=lambda segment: sweep.scheduler.release(chain, segment),
    )
    try:
        write_text(current.log, "")
        progress_files.write(
            sweep.context.clone, chain, ChainProgress("running", chain.digest, current.owner, worktree=str(worker.folder))
        )
        problem = current.run()
    except UserError as error:
        problem = str(error)
    except Exception:  # whatever ends one chain, the others go on
        problem = traceback.format_exc()
    finally:
        sweep.scheduler.release(chain)
    state = "stopped" if sweep.stopping.is_set() and problem else "failed" if problem else "done"
    with suppress(UserError):  # a disk that is full now is no reason to leave the chains that wait
        current.record_progress(state, problem)
    sweep.say(f"{chain.name}: {state} after {time.monotonic() - started:.0f} s")
    return Outcome(chain, state, time.monotonic() - started, problem)
