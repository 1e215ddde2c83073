"""Run one chain: its worktree, its segments in turn, an experiment after every iteration, and the same to the remotes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ruamel.yaml import YAML

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes
from pipeline.core.json_files import read_json
from pipeline.studies.sweep import progress_files, stages, worktree
from pipeline.studies.sweep.locks import IsAlive, LockOwner, Locks
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.progress_files import ChainProgress
from pipeline.studies.sweep.segments import Segment, segments_of
from pipeline.studies.sweep.worker import Worker

LOCKS = worktree.FOLDER / "locks"
_TAIL_LINES = 8
_LAST_TRIES = 3
"""To send what no later iteration would send."""
_RETRY_SECONDS = 20.0


@dataclass(frozen=True)
class SweepContext:
    """What all chains of a run share: the clone, the commit that they run, DVC's cache, and where their results go."""

    clone: Path
    commit: str
    cache: Path
    remote: str = ""
    """The Git remote that gets experiments, their data going to the DVC remote; "": all stays in the clone."""
    program: str = ""
    """The module of the command line, which sends what `remote` gets."""
    fork_server: str = ""
    """The module of the server that spares stages their imports; "": stages import for themselves."""


@dataclass
class ChainRun:
    """One chain on its way. `on_computed` hears of every segment that is in the cache."""

    context: SweepContext
    worker: Worker
    chain: Chain
    owner: LockOwner
    alive: IsAlive
    on_computed: Callable[[Segment], None] = lambda segment: None

    @property
    def log(self) -> Path:
        return self.context.clone / progress_files.log_file(self.chain)

    def run(self, only_shared: bool = False) -> str:
        """Run and save the chain, or only what it shares with others; return what went wrong, or nothing."""
        with self._holding(f"chain {self.chain.name}"):
            if worktree.find(self.context.clone, self.chain, self.context.commit):
                self._send(_LAST_TRIES)  # whoever saved it may have been ended before it was sent
                return ""
            self._start()
            segments = segments_of(self.chain.params)
            for segment in segments[:2] if only_shared else segments:
                if problem := self._compute(segment):
                    return problem
            if not only_shared:
                worktree.save(self.worker.folder, self.context.commit, self.chain.name)
                self._send(_LAST_TRIES)
        return ""

    def _start(self) -> None:
        """Make the worktree ready, start the fork server and open a new start in the log."""
        folder, clone = self.worker.folder, self.context.clone
        self.say(f"{stages.START}{self.chain.name}, by {self.owner.describe()}")
        stages.move_times(clone, folder)
        with self._holding("worktrees"):
            worktree.check_out(clone, folder, self.context.commit)
        worktree.set_up(clone, folder, self.context.commit, self.context.cache, self.chain)
        self.worker.start_fork_server(self.log.with_name(f"warm-{folder.name}.log"))

    def _compute(self, segment: Segment) -> str:
        """Compute a segment while nobody else computes one of its stages; return what went wrong, or nothing."""
        if not self._is_in_cache(segment):
            with self._holding(segment.lock_key):
                if not self._is_in_cache(segment):
                    if problem := self._reproduce(segment):
                        return problem
                    if segment.result_key:
                        self._marker(segment).touch()
        self.on_computed(segment)
        if segment.k is not None:
            worktree.save(self.worker.folder, self.context.commit, self.chain.name, segment.k)
            self._send()
            self.record_progress("running")
        return ""

    def _is_in_cache(self, segment: Segment) -> bool:
        """Return whether a chain has computed the segment, so that the next segment's run takes it from the cache."""
        return bool(segment.result_key) and self._marker(segment).exists()

    def _marker(self, segment: Segment) -> Path:
        name = sha256_bytes(f"{self.context.commit} {segment.result_key}".encode())[:24]
        return self.context.clone / LOCKS / f"{name}.computed"

    def _reproduce(self, segment: Segment) -> str:
        """Run `dvc repro` of a segment; return what went wrong, or nothing."""
        if self.worker.stopped:
            return "stopped"
        known = YAML(typ="safe").load(self.worker.folder / "dvc.yaml")["stages"]
        targets = [target for target in segment.targets if target.partition("@")[0] in known]
        succeeded = self.worker.run(self.log, "dvc", "repro", *targets)
        stages.move_times(self.context.clone, self.worker.folder)
        return "" if succeeded else tail(self.log)

    def _send(self, tries: int = 1) -> None:
        """Send experiment and data; what cannot be sent now goes with the next iteration."""
        if not self.context.remote:
            return
        words = ("share", "--exp", self.chain.name, "--force", "--git-remote", self.context.remote)
        for left in reversed(range(tries)):
            if self.worker.run(self.log, self.context.program, *words, folder=self.context.clone) or self.worker.stopped:
                return
            self.say(f"not sent to the remotes, see above; 'redifine {' '.join(words)}' sends it")
            time.sleep(_RETRY_SECONDS if left else 0)

    def clear(self) -> None:
        """Remove the worktree of a chain that is saved."""
        with self._holding("worktrees"):
            worktree.remove(self.context.clone, self.worker.folder)

    def _holding(self, key: str) -> AbstractContextManager[None]:
        folder = self.context.clone / LOCKS
        return Locks(folder, self.owner, self.alive, self.say, lambda: self.worker.stopped).held(key)

    def say(self, text: str) -> None:
        """Add a line to the chain's log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")

    def record_progress(self, state: str, detail: str = "") -> None:
        """Write down how far the chain is, here and on the Git remote."""
        last = self.chain.params.last
        fid = measured_fids(Layout(self.worker.folder), last)
        before = progress_files.read(self.context.clone, self.chain) or ChainProgress(state, self.chain.digest)
        now = replace(
            before, state=state, owner=self.owner, worktree=str(self.worker.folder), detail=detail, updated=time.time(),
            k=max(fid, default=0), fid={str(k): value for k, value in fid.items()},
            stage=stages.first_after(max(fid, default=0), last) if state == "running" else "",
            seconds_left=None if state == "done" else self._seconds_left(),
        )  # fmt: skip
        progress_files.write(self.context.clone, self.chain, now)
        if self.context.remote:
            with suppress(UserError):  # a watcher elsewhere learns it from the next one
                progress_files.publish(self.context.clone, self.chain, now, self.context.remote)

    def _seconds_left(self) -> float | None:
        folder = self.worker.folder
        if not (folder / "dvc.yaml").is_file() or not self.log.is_file():
            return None
        names = stages.names(folder, self.chain.params)
        return stages.seconds_left(self.context.clone, stages.position(read_log(self.log), names).left)


def measured_fids(layout: Layout, last: int) -> dict[int, float]:
    """Return {k: FID_k}, as far as a chain has come in its worktree."""
    found = {}
    for k in range(1, last + 1):
        with suppress(UserError, KeyError, TypeError):
            found[k] = float(read_json(layout.metrics(k))["fid"])
    return found


def read_log(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""


def tail(log: Path) -> str:
    """Return the last lines of a log that say something."""
    lines = [line.rstrip() for line in read_log(log).splitlines() if line.strip()]
    return "\n".join(lines[-_TAIL_LINES:]) or "no output"
