"""Run one chain: its worktree, its pieces in turn, an experiment after every iteration, and the same to the remotes."""

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
from pipeline.studies.sweep import notes, stages, worktree
from pipeline.studies.sweep.locks import Alive, Locks, Owner
from pipeline.studies.sweep.notes import Note
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.turns import Part, parts
from pipeline.studies.sweep.worker import Worker

LOCKS = worktree.FOLDER / "locks"
_TAIL_LINES = 8
_LAST_TRIES = 3
"""To send what no later iteration would send."""
_RETRY_SECONDS = 20.0


@dataclass(frozen=True)
class Site:
    """What all chains of a run share: the clone, the commit that they run, DVC's cache, and where their results go."""

    clone: Path
    commit: str
    cache: Path
    remote: str = ""
    """The Git remote that gets experiments, their data going to the DVC remote; "": all stays in the clone."""
    fork_server: str = ""
    """The module of the server that spares stages their imports; "": stages import for themselves."""


@dataclass
class ChainRun:
    """One chain on its way. `computed` hears of every piece that is in the cache."""

    site: Site
    worker: Worker
    chain: Chain
    owner: Owner
    alive: Alive
    computed: Callable[[Part], None] = lambda part: None

    @property
    def log(self) -> Path:
        return self.site.clone / notes.log_file(self.chain)

    def run(self, only_shared: bool = False) -> str:
        """Run and save the chain, or only what it shares with others; returns what went wrong, or nothing."""
        with self._holding(f"chain {self.chain.name}"):
            if worktree.find(self.site.clone, self.chain, self.site.commit):
                self._share(_LAST_TRIES)  # whoever saved it may have been ended before it was sent
                return ""
            self._begin()
            pieces = parts(self.chain.params)
            for piece in pieces[:2] if only_shared else pieces:
                if problem := self._compute(piece):
                    return problem
            if not only_shared:
                worktree.save(self.worker.folder, self.site.commit, self.chain.name)
                self._share(_LAST_TRIES)
        return ""

    def _begin(self) -> None:
        """The worktree, the warm server and a new start in the log."""
        folder, clone = self.worker.folder, self.site.clone
        self.say(f"{stages.START}{self.chain.name}, by {self.owner.words()}")
        stages.harvest(clone, folder)
        with self._holding("worktrees"):
            worktree.check_out(clone, folder, self.site.commit)
        worktree.make_ready(clone, folder, self.site.commit, self.site.cache, self.chain)
        self.worker.warm_up(self.log.with_name(f"warm-{folder.name}.log"))

    def _compute(self, piece: Part) -> str:
        """A piece, while nobody else computes one of its stages; returns what went wrong, or nothing."""
        if not self._is_in_cache(piece):
            with self._holding(piece.key):
                if not self._is_in_cache(piece):
                    if problem := self._reproduce(piece):
                        return problem
                    if piece.whole:
                        self._marker(piece).touch()
        self.computed(piece)
        if piece.k is not None:
            worktree.save(self.worker.folder, self.site.commit, self.chain.name, piece.k)
            self._share()
            self.note("running")
        return ""

    def _is_in_cache(self, piece: Part) -> bool:
        """Whether a chain has computed the piece, so that the next piece's run takes it from the cache."""
        return bool(piece.whole) and self._marker(piece).exists()

    def _marker(self, piece: Part) -> Path:
        return self.site.clone / LOCKS / f"{sha256_bytes(f'{self.site.commit} {piece.whole}'.encode())[:24]}.computed"

    def _reproduce(self, piece: Part) -> str:
        """`dvc repro` of a piece; returns what went wrong, or nothing."""
        if self.worker.stopped:
            return "stopped"
        known = YAML(typ="safe").load(self.worker.folder / "dvc.yaml")["stages"]
        targets = [target for target in piece.targets if target.partition("@")[0] in known]
        succeeded = self.worker.run(self.log, "dvc", "repro", *targets)
        stages.harvest(self.site.clone, self.worker.folder)
        return "" if succeeded else tail(self.log)

    def _share(self, tries: int = 1) -> None:
        """Send experiment and data; what cannot be sent now goes with the next iteration."""
        if not self.site.remote:
            return
        words = ("share", "--exp", self.chain.name, "--force", "--git-remote", self.site.remote)
        for left in reversed(range(tries)):
            if self.worker.run(self.log, "pipeline", *words, folder=self.site.clone) or self.worker.stopped:
                return
            self.say(f"not sent to the remotes, see above; 'redifine {' '.join(words)}' sends it")
            time.sleep(_RETRY_SECONDS if left else 0)

    def clear(self) -> None:
        """Remove the worktree of a chain that is saved."""
        with self._holding("worktrees"):
            worktree.remove(self.site.clone, self.worker.folder)

    def _holding(self, key: str) -> AbstractContextManager[None]:
        folder = self.site.clone / LOCKS
        return Locks(folder, self.owner, self.alive, self.say, lambda: self.worker.stopped).held(key)

    def say(self, text: str) -> None:
        """A line in the chain's log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")

    def note(self, state: str, detail: str = "") -> None:
        """Write down how far the chain is, here and on the Git remote."""
        last = self.chain.params.last
        fid = measured(Layout(self.worker.folder), last)
        before = notes.read(self.site.clone, self.chain) or Note(state, self.chain.digest)
        now = replace(
            before, state=state, owner=self.owner, worktree=str(self.worker.folder), detail=detail, updated=time.time(),
            k=max(fid, default=0), fid={str(k): value for k, value in fid.items()},
            stage=stages.first_after(max(fid, default=0), last) if state == "running" else "",
            seconds_left=None if state == "done" else self._seconds_left(),
        )  # fmt: skip
        notes.write(self.site.clone, self.chain, now)
        if self.site.remote:
            with suppress(UserError):  # a watcher elsewhere learns it from the next note
                notes.publish(self.site.clone, self.chain, now, self.site.remote)

    def _seconds_left(self) -> float | None:
        folder = self.worker.folder
        if not (folder / "dvc.yaml").is_file() or not self.log.is_file():
            return None
        names = stages.names(folder, self.chain.params)
        return stages.seconds_left(self.site.clone, stages.position(read_log(self.log), names).left)


def measured(layout: Layout, last: int) -> dict[int, float]:
    """k -> FID_k, as far as a chain has come in its worktree."""
    found = {}
    for k in range(1, last + 1):
        with suppress(UserError, KeyError, TypeError):
            found[k] = float(read_json(layout.metrics(k))["fid"])
    return found


def read_log(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""


def tail(log: Path) -> str:
    """The last lines of a log that say something."""
    lines = [line.rstrip() for line in read_log(log).splitlines() if line.strip()]
    return "\n".join(lines[-_TAIL_LINES:]) or "no output"
