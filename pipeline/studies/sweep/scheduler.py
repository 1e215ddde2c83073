"""Which chain of a sweep on this machine may start: never two at once that would compute the same stage."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.segments import Segment, segments_of


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
