"""How far a chain is: a note beside its log, and the same as a Git reference, for those who have only the remote."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.json_files import parse_json, read_json, write_json
from pipeline.studies.sweep.locks import Owner
from pipeline.studies.sweep.plan import Chain
from pipeline.versioning.git import git

LOGS = Path("logs/sweeps")
_REFERENCES = "refs/redifine-sweeps"
_SEEN = "refs/redifine-seen"


@dataclass(frozen=True)
class Note:
    """`state` is queued, running, done, failed, stopped or cancelled; `params` stands for the chain's parameters.

    `job` and `shared_job` are Slurm's, of the chain and of what it waits for; `fid` is {k: FID_k}; `seconds_left` holds
    from the moment `updated`, in seconds since 1970.
    """

    state: str
    params: str
    owner: Owner | None = None
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


def note_file(chain: Chain) -> Path:
    return log_file(chain).with_suffix(".json")


def write(clone: Path, chain: Chain, note: Note) -> None:
    write_json(clone / note_file(chain), asdict(note))


def read(clone: Path, chain: Chain) -> Note | None:
    """The note of this clone; None where there is none, or one of other parameters."""
    path = clone / note_file(chain)
    if not path.is_file():
        return None
    with suppress(UserError):
        return _parsed(read_json(path), chain)
    return None


def _parsed(content: Any, chain: Chain) -> Note | None:
    """What came from elsewhere may hold anything."""
    try:
        owner = content.pop("owner")
        note = Note(owner=Owner(**owner) if owner else None, **content)
    except (AttributeError, KeyError, TypeError):
        return None
    return note if note.params == chain.digest else None


def publish(clone: Path, chain: Chain, note: Note, remote: str) -> None:
    """Send the note to the Git remote. Raises UserError when that fails."""
    hashed = git(clone, "hash-object", "-w", "--stdin", text=json.dumps(asdict(note)))
    reference = f"{_REFERENCES}/{chain.sweep}/{chain.name}"
    git(clone, "update-ref", reference, hashed)
    git(clone, "push", "--quiet", remote, f"+{reference}:{reference}")


def fetch(clone: Path, sweep: str, remote: str) -> None:
    """Bring the notes of a sweep from the Git remote. Raises UserError when that fails."""
    source = f"+{_REFERENCES}/{sweep}/*:{_SEEN}/{remote}/{sweep}/*"
    git(clone, "fetch", "--quiet", "--no-tags", "--prune", remote, source)


def fetched(clone: Path, chain: Chain, remote: str) -> Note | None:
    """The note that `fetch` brought."""
    with suppress(UserError, ValueError):
        text = git(clone, "cat-file", "blob", f"{_SEEN}/{remote}/{chain.sweep}/{chain.name}")
        return _parsed(parse_json(text), chain)
    return None
