"""How long each stage took, noted as it ends in logs/times.jsonl, which no version holds; and what that says of the rest."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

FILE = Path("logs/times.jsonl")
_LATEST = 3
"""Only so many times of a kind of stage count: the parameters, and the machine's load, change."""


@contextmanager
def timed(stage: str | None, root: Path = Path()) -> Iterator[None]:
    """Note how long the block took as the time of `stage`, when it succeeds. None: it is no stage of a chain.

    A time that cannot be written is lost: no finished stage fails for it.
    """
    started = time.monotonic()
    yield
    if stage is None:
        return
    row = json.dumps({"stage": stage, "seconds": round(time.monotonic() - started, 3)}, sort_keys=True)
    with suppress(OSError):
        (root / FILE).parent.mkdir(parents=True, exist_ok=True)
        with (root / FILE).open("a", encoding="utf-8") as file:
            file.write(row + "\n")


def kind_of(stage: str) -> str:
    """ "train@2" -> "train", and so with the path of its dvc.yaml before it."""
    return stage.rpartition(":")[2].partition("@")[0]


def read_times(root: Path) -> dict[str, float]:
    """Return {kind of stage: seconds}, each the median of the last few. Lines that cannot be read do not count."""
    from statistics import median

    found: dict[str, list[float]] = defaultdict(list)
    if not (root / FILE).is_file():
        return {}
    for line in (root / FILE).read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            row = json.loads(line)
            found[kind_of(row["stage"])].append(float(row["seconds"]))
    return {kind: median(seconds[-_LATEST:]) for kind, seconds in found.items()}


@dataclass(frozen=True)
class Remaining:
    """What is left: seconds of the stages whose kind was timed, and the kinds that never were."""

    seconds: float
    counts: Mapping[str, int]
    unknown: tuple[str, ...]


def remaining(unfinished: Iterable[str], times: Mapping[str, float]) -> Remaining:
    """Sum the times of the stages named in `unfinished`, which run one after the other."""
    counts = Counter(kind_of(stage) for stage in unfinished)
    unknown = tuple(sorted(kind for kind in counts if kind not in times))
    return Remaining(sum(times[kind] * count for kind, count in counts.items() if kind in times), dict(counts), unknown)
