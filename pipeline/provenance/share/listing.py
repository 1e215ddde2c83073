"""Which iterations of which branches and experiments a DVC remote has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dvc.repo import Repo
from rich.filesize import decimal

from pipeline.chain.paths import Layout
from pipeline.provenance.lineage.runs import names_of_commits
from pipeline.provenance.share import transfer
from pipeline.provenance.share.iterations import ChainRecord, iteration_outputs, outputs_to_fetch, read_record_at
from pipeline.provenance.share.remotes import name_of
from pipeline.versioning.dvc_repo import open_repo
from pipeline.versioning.experiments import ask_remote, has_remote
from pipeline.versioning.git import git

_MOST_METRICS_BYTES = 1_000_000
_SEEN = "refs/redifine"
"""Where a listing keeps what it fetched, apart from the user's own references."""


@dataclass(frozen=True)
class RemoteIteration:
    """One iteration: `bytes` of what its stages wrote; of the `files` outputs that it is, `there` are on the remote."""

    experiment: str
    k: int
    cfg: float | None
    fid: float | None
    bytes: int
    there: int
    files: int

    @property
    def complete(self) -> bool:
        """Return whether every recorded output that `redifine get` brings for this iteration is there."""
        return self.there == self.files


def list_remote(root: Path, remote: str | None, git_remote: str) -> list[RemoteIteration]:
    """Return every iteration of which the remote (a DVC remote's name, or an address) has something, by experiment and k."""
    records = _all_records(root, git_remote)
    with open_repo(root) as repo:
        remote = name_of(repo, remote)
        hashes = {output.md5 for record in records for output in record.outputs.values()}
        present = transfer.existing(repo, sorted(hashes), remote)
        rows = [
            _row(repo, remote, record, k, present)
            for record in records
            for k in record.iterations
            if present.intersection(_hashes(record, iteration_outputs(k)))
        ]
    return sorted(rows, key=lambda row: (row.experiment, row.k))


def _all_records(root: Path, remote: str) -> list[ChainRecord]:
    """Return the records of the Git remote's branches and experiments, this clone's experiments and HEAD; equal ones once."""
    if has_remote(root, remote):
        ask_remote(root, remote, "fetch", "--quiet", "--no-tags", "--prune", remote,
                   f"+refs/heads/*:{_SEEN}/{remote}/heads/*", f"+refs/exps/*:{_SEEN}/{remote}/exps/*")  # fmt: skip
    names = names_of_commits(root, f"{_SEEN}/{remote}/heads", f"{_SEEN}/{remote}/exps", "refs/exps")
    names.setdefault(git(root, "rev-parse", "HEAD"), "HEAD")
    return [record for commit, name in names.items() if (record := read_record_at(root, commit, name))]


def _hashes(record: ChainRecord, paths: Iterable[Path]) -> list[str]:
    return [record.outputs[path].md5 for path in record.have(paths)]


def _row(repo: Repo, remote: str | None, record: ChainRecord, k: int, present: set[str]) -> RemoteIteration:
    hashes = _hashes(record, outputs_to_fetch(k))
    cfg = record.stage_parameters(f"sample@{k}").get("cfg")
    metrics = record.outputs.get(Layout().metrics(k).as_posix())
    known = metrics is not None and metrics.md5 in present and metrics.size < _MOST_METRICS_BYTES
    fid = _fid(transfer.read_object(repo, metrics.md5, remote)) if known and metrics is not None else None
    return RemoteIteration(record.name, k, cfg, fid, record.size(k), sum(md5 in present for md5 in hashes), len(hashes))


def _fid(content: bytes) -> float | None:
    """Return FID of a metrics file, which came from elsewhere and may hold anything."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    value = found.get("fid") if isinstance(found, dict) else None
    return float(value) if isinstance(value, int | float) else None


def as_json(rows: Iterable[RemoteIteration]) -> str:
    return json.dumps([{**asdict(row), "complete": row.complete} for row in rows], indent=2, sort_keys=True)


def as_table(rows: Sequence[RemoteIteration]) -> str:
    """Return a table with the columns experiment, k, cfg, FID, size, and how much of it is there."""
    cells = [("experiment", "k", "cfg", "FID", "size", "")]
    for row in rows:
        note = "" if row.complete else f"only {row.there} of {row.files} outputs"
        fid = "-" if row.fid is None else f"{row.fid:.2f}"
        cells.append((row.experiment, str(row.k), "-" if row.cfg is None else f"{row.cfg:g}", fid, decimal(row.bytes), note))
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join(_aligned(line, widths) for line in cells)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return the first cell to the left, the others to the right."""
    rest = (text.rjust(width) for text, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *rest]).rstrip()
