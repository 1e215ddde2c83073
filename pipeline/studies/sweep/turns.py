"""Which chain may start: never two at once that would compute the same stage."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.chain.params import STAGE_PARAMS, Params
from pipeline.studies.sweep.plan import Chain

_REAL = ("prepare",)
_OF_REAL = ("measure", "analyse")
FIRST_MODEL = ("prepare", "curate", "train")
DRAWN = ("prepare", "curate", "train", "sample")


@dataclass(frozen=True)
class Part:
    """A piece of a chain: DVC targets (none: the whole), and the iteration that it ends.

    Two chains of which a costly stage in this piece would be the same have the same `key`; two of which every stage is the
    same have the same `whole` ("": never so).
    """

    targets: tuple[str, ...]
    key: str
    k: int | None = None
    whole: str = ""


def parts(params: Params) -> tuple[Part, ...]:
    """The chain in pieces, of which each contains the one before: D_0 and its features; M_1; each iteration; the report.

    Arms that differ in sampling have the key of M_1 in common, longer chains that of every iteration of a shorter one.
    """
    real, first, drawn = (key_of(params, read_by(stages)) for stages in (_REAL, FIRST_MODEL, DRAWN))
    whole = [key_of(params, read_by((*stages, *_OF_REAL))) for stages in (_REAL, FIRST_MODEL)]
    return (
        Part(("prepare", "reference", "reference_analysis"), real, whole=whole[0]),
        Part(("train@1",), first, whole=whole[1]),
        *(Part((f"measure@{k}", f"analyse@{k}"), f"{drawn} {k}", k) for k in range(1, params.last + 1)),
        Part((), key_of(params, set(Params.model_fields) - {"title"})),
    )


def read_by(stages: Iterable[str]) -> set[str]:
    return {name for stage in stages for name in STAGE_PARAMS[stage]}


def key_of(params: Params, names: set[str]) -> str:
    plain = params.model_dump()
    return json.dumps({name: plain[name] for name in sorted(names)})


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
