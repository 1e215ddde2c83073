"""Run the chains of a sweep on this machine, some at a time, each on cores of its own."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from pipeline import warm
from pipeline.errors import UserError
from pipeline.experiments import check_git
from pipeline.storage import write_json
from pipeline.sweep import child, worktree
from pipeline.sweep.plan import Chain
from pipeline.sweep.turns import Part, Turns, parts

LOGS = Path("logs/sweeps")
_GRACE_SECONDS = 10.0
_TAIL_LINES = 8


@dataclass(frozen=True)
class Outcome:
    """How a chain ended: done, skipped (it was there), failed or stopped."""

    chain: Chain
    state: str
    seconds: float = 0.0
    detail: str = ""


@dataclass
class Worker:
    """Runs one chain after the other in its own worktree, on its own cores."""

    folder: Path
    cores: list[int]
    threads: int
    socket: Path
    server: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """This interpreter's `python` first, the share of threads, and where the warm server listens."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        own = {"PATH": path, "OMP_NUM_THREADS": str(self.threads), "DVC_NO_ANALYTICS": "1", warm.SOCKET: str(self.socket)}
        return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | own

    def start(self, log: Path, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a module in the worktree, in a process group of its own, with its output at the end of `log`."""
        with log.open("ab") as output:
            return subprocess.Popen(
                child.command(self.cores, module, *arguments), cwd=self.folder, env=self.environment(),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip


@dataclass
class Run:
    """One `redifine sweep run`: the clone, the commit, and what is running."""

    clone: Path
    commit: str
    cache: Path
    say: Callable[[str], None]
    turns: Turns
    outcomes: list[Outcome] = field(default_factory=list)
    processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)


def run(clone: Path, chains: list[Chain], workers: int, say: Callable[[str], None]) -> list[Outcome]:
    """Run what is not there yet; returns the outcome of every chain, in the order in which they ended.

    Raises UserError before anything runs when Git is not ready or another sweep runs here. Ctrl-C ends all children.
    """
    check_git(clone)
    commit = worktree.check_committed(clone)
    with _only_sweep(clone):
        there = {chain.name for chain in chains if worktree.find(clone, chain, commit)}
        todo = [chain for chain in chains if chain.name not in there]
        this = Run(clone, commit, worktree.cache_folder(clone), say, Turns(todo))
        this.outcomes = [Outcome(chain, "skipped") for chain in chains if chain.name in there]
        count = min(workers, len(todo))
        say(f"{len(todo)} chains to run, {count} at a time, of commit {commit[:7]}; {len(there)} are there already")
        with tempfile.TemporaryDirectory(prefix="redifine-") as sockets:
            _run_all(this, _workers(clone, count, Path(sockets)))
    ended = {outcome.chain.name for outcome in this.outcomes}
    return this.outcomes + [Outcome(chain, "stopped") for chain in chains if chain.name not in ended]


@contextmanager
def _only_sweep(clone: Path) -> Iterator[None]:
    """One sweep a clone: two would share worktrees."""
    file = clone / worktree.FOLDER / "lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("another sweep runs in this clone; wait for it, or run this one in a clone of its own") from error
        yield


def _workers(clone: Path, count: int, sockets: Path) -> list[Worker]:
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    threads = max(1, len(available) // max(count, 1))
    shares = [[available[(i * threads + j) % len(available)] for j in range(threads)] for i in range(count)]
    return [
        Worker(clone.resolve() / worktree.FOLDER / str(i), share, threads, sockets / f"{i}") for i, share in enumerate(shares)
    ]


def _run_all(this: Run, workers: list[Worker]) -> None:
    threads = [threading.Thread(target=_work, args=(this, worker)) for worker in workers]
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)
    except KeyboardInterrupt:
        this.say("stopping: what is finished stays in the cache, and the same command goes on from there")
        _stop(this)
    finally:
        for thread in threads:
            thread.join()
        signal.signal(signal.SIGTERM, previous)


def _stop(this: Run) -> None:
    """End every child: asked first, then killed."""
    this.stopping.set()
    this.turns.stop()
    until = time.monotonic() + _GRACE_SECONDS
    running = list(this.processes)
    for process in running:
        _signal(process, signal.SIGTERM)
    for process in running:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, until - time.monotonic()))
        _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _work(this: Run, worker: Worker) -> None:
    """Take chains until there are none."""
    try:
        while (chain := this.turns.take()) is not None:
            started = time.monotonic()
            this.say(f"{chain.name}: started on core {', '.join(map(str, worker.cores))}, log {log_file(chain)}")
            _note(this, chain, "running", worker)
            try:
                problem = _run_chain(this, worker, chain)
            except UserError as error:
                problem = str(error)
            except Exception:  # whatever ends one chain, the others go on
                problem = traceback.format_exc()
            finally:
                this.turns.release(chain)
            state = "stopped" if this.stopping.is_set() and problem else "failed" if problem else "done"
            _note(this, chain, state, worker)
            this.outcomes.append(Outcome(chain, state, time.monotonic() - started, problem))
            this.say(f"{chain.name}: {state} after {time.monotonic() - started:.0f} s")
    finally:
        if worker.server is not None:
            _signal(worker.server, signal.SIGKILL)
            worker.server.wait()


def log_file(chain: Chain) -> Path:
    return LOGS / chain.sweep / f"{chain.name}.log"


def note_file(chain: Chain) -> Path:
    """The state of a chain, for `redifine sweep status`."""
    return log_file(chain).with_suffix(".json")


def _note(this: Run, chain: Chain, state: str, worker: Worker) -> None:
    write_json(this.clone / note_file(chain), {"state": state, "pid": os.getpid(), "worktree": str(worker.folder)})


def _run_chain(this: Run, worker: Worker, chain: Chain) -> str:
    """Run and save one chain; returns what went wrong, or nothing."""
    log = this.clone / log_file(chain)
    log.write_bytes(b"")
    worktree.make_ready(this.clone, worker.folder, this.commit, this.cache, chain)
    _warm_up(worker, this.clone / LOGS / chain.sweep / f"warm-{worker.folder.name}.log")
    for part in parts(chain.params):
        if this.stopping.is_set():
            return "stopped"
        if not _reproduce(this, worker, part, log):
            return tail(log)
        this.turns.release(chain, part)
    worktree.save(worker.folder, this.commit, chain.name)
    return ""


def _warm_up(worker: Worker, log: Path) -> None:
    """Start the worker's warm server where none runs; without one, stages import for themselves."""
    if worker.server is None or worker.server.poll() is not None:
        worker.socket.unlink(missing_ok=True)
        worker.server = worker.start(log, "pipeline.warm", str(worker.socket))


def _reproduce(this: Run, worker: Worker, part: Part, log: Path) -> bool:
    """`dvc repro` of one part; True when it succeeds."""
    known = YAML(typ="safe").load(worker.folder / "dvc.yaml")["stages"]
    targets = [target for target in part.targets if target.partition("@")[0] in known]
    process = worker.start(log, "dvc", "repro", *targets)
    this.processes.add(process)
    if this.stopping.is_set():
        _signal(process, signal.SIGKILL)
    status = process.wait()
    this.processes.discard(process)
    return status == 0


def tail(log: Path) -> str:
    """The last lines of a log that say something."""
    lines = [line.rstrip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-_TAIL_LINES:]) or "no output"
