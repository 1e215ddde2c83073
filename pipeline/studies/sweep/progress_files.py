"""How far a chain is: a JSON file beside its log, and the same as a Git reference, for those who have only the remote."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.json_files import parse_json, read_json, write_json
from pipeline.studies.sweep.locks import LockOwner
from pipeline.studies.sweep.plan import Chain
from pipeline.versioning.git import git

LOGS = Path("logs/sweeps")
_REFERENCES = "refs/redifine-sweeps"
_SEEN = "refs/redifine-seen"


@dataclass(frozen=True)
class ChainProgress:
    """`state` is queued, running, done, failed, stopped or cancelled; `params` stands for the chain's parameters.

    `job` and `shared_job` are Slurm's, of the chain and of what it waits for; `fid` is {k: FID_k}; `seconds_left` holds
    from the moment `updated`, in seconds since 1970.
    """

    state: str
    params: str
    owner: LockOwner | None = None
    job: str = ""
    shared_job: str = ""
    worktree: str = ""
    stage: str = ""
    k: int = 0
    fid: dict[str, float] = field(default_factory=dict)
    seconds_left: float | None = None
    updated: float = 0.0
    detail: str = ""


def log_file(chain: Chain) -> Path:
    return LOGS / chain.sweep / f"{chain.name}.log"


def progress_file(chain: Chain) -> Path:
    return log_file(chain).with_suffix(".json")


def write(clone: Path, chain: Chain, progress: ChainProgress) -> None:
    write_json(clone / progress_file(chain), asdict(progress))


def read(clone: Path, chain: Chain) -> ChainProgress | None:
    """Return what this clone has recorded; None where that is nothing, or of other parameters."""
    path = clone / progress_file(chain)
    if not path.is_file():
        return None
    with suppress(UserError):
        return _parsed(read_json(path), chain)
    return None


def _parsed(content: Any, chain: Chain) -> ChainProgress | None:
    """What came from elsewhere may hold anything."""
    try:
        owner = content.pop("owner")
        progress = ChainProgress(owner=LockOwner(**owner) if owner else None, **content)
    except (AttributeError, KeyError, TypeError):
        return None
    return progress if progress.params == chain.digest else None


def publish(clone: Path, chain: Chain, progress: ChainProgress, remote: str) -> None:
    """Send the record to the Git remote. Raises UserError when that fails."""
    hashed = git(clone, "hash-object", "-w", "--stdin", text=json.dumps(asdict(progress)))
    reference = f"{_REFERENCES}/{chain.sweep}/{chain.name}"
    git(clone, "update-ref", reference, hashed)
    git(clone, "push", "--quiet", remote, f"+{reference}:{reference}")


def fetch(clone: Path, sweep: str, remote: str) -> None:
    """Bring the records of a sweep from the Git remote. Raises UserError when that fails."""
    source = f"+{_REFERENCES}/{sweep}/*:{_SEEN}/{remote}/{sweep}/*"
    git(clone, "fetch", "--quiet", "--no-tags", "--prune", remote, source)


def fetched(clone: Path, chain: Chain, remote: str) -> ChainProgress | None:
    """Return what `fetch` brought of this chain."""
    with suppress(UserError, ValueError):
        text = git(clone, "cat-file", "blob", f"{_SEEN}/{remote}/{chain.sweep}/{chain.name}")
        return _parsed(parse_json(text), chain)
    return None
