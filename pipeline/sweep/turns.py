"""Which chain may start: never two at once that would compute the same stage."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.params import STAGE_PARAMS, Params
from pipeline.sweep.plan import Chain

_REAL = ("prepare", "measure", "analyse")
_FIRST_MODEL = (*_REAL, "curate", "train")


@dataclass(frozen=True)
class Part:
    """A piece of a chain: DVC targets (none: the whole), and what its result depends on."""

    targets: tuple[str, ...]
    key: str


def parts(params: Params) -> tuple[Part, ...]:
    """The chain in three pieces, of which each contains the one before: D_0 and its features; M_1; all of it.

    Chains with equal keys share the piece: arms that differ in sampling share M_1, longer chains all of a shorter one.
    """
    whole = set(Params.model_fields) - {"iterations", "title"}
    return (
        Part(("prepare", "reference", "reference_analysis"), _key(params, _read_by(_REAL))),
        Part(("train@1",), _key(params, _read_by(_FIRST_MODEL))),
        Part((), _key(params, whole)),
    )


def _read_by(stages: Iterable[str]) -> set[str]:
    return {name for stage in stages for name in STAGE_PARAMS[stage]}


def _key(params: Params, names: set[str]) -> str:
    return json.dumps({name: getattr(params, name) for name in sorted(names)})


class Turns:
    """Hands out chains to workers. A chain holds the keys of its pieces until each is computed; none starts that needs one."""

    def __init__(self, chains: Iterable[Chain]) -> None:
        self._waiting = list(chains)
        self._held: dict[str, set[str]] = {}
        self._changed = threading.Condition()

    def take(self) -> Chain | None:
        """The first chain that can start, as soon as there is one; None when all have been taken."""
        with self._changed:
            while self._waiting:
                for chain in self._waiting:
                    keys = {part.key for part in parts(chain.params)}
                    if all(keys.isdisjoint(others) for others in self._held.values()):
                        self._waiting.remove(chain)
                        self._held[chain.name] = keys
                        return chain
                self._changed.wait()
            return None

    def release(self, chain: Chain, part: Part | None = None) -> None:
        """This piece of the chain is in the cache now; None: the chain has ended."""
        with self._changed:
            if part is None:
                self._held.pop(chain.name, None)
            else:
                self._held[chain.name].discard(part.key)
            self._changed.notify_all()

    def stop(self) -> None:
        """Hand out no more."""
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()
