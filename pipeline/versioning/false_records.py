"""Find stages that dvc.lock says ran with other parameters or code than they did, by what they left in scratch/finished.

Plain `dvc repro` reads both about a second after a stage has ended, and takes what it finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from pipeline.core.files import write_text
from pipeline.versioning.changed_code import code_md5
from pipeline.versioning.dvc_lock import LOCK_FILE, StageEntry, read_lock
from pipeline.versioning.finished_work import kept_last
from pipeline.versioning.hashes import cache_folder, digest_file, folder_md5


@dataclass(frozen=True)
class FalseRecord:
    """A stage and what dvc.lock says otherwise: parameters, as "cfg (ran with 7.5, recorded as 2.5)", and modules."""

    entry: StageEntry
    differing: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.entry.name} did not run with what {LOCK_FILE} says: {', '.join(self.differing)}"


def false_records(root: Path) -> list[FalseRecord]:
    """Return the stages whose recorded outputs were made by a run that read something else."""
    kept = kept_last(root)
    stages = read_lock(root) if kept else {}
    found = []
    for place, record in kept:
        entry = stages.get(record["stage"])
        if entry is not None and (differing := _differing(record, entry)) and _is_output(entry, place, record):
            found.append(FalseRecord(entry, tuple(differing)))
    return found


def _differing(record: Mapping[str, Any], entry: StageEntry) -> list[str]:
    params = record["params"]
    others = [
        f"{name} (ran with {params[name]!r}, recorded as {value!r})"
        for name, value in entry.params.items()
        if name in params and params[name] != value
    ]
    return [*others, *(item.path for item in entry.deps if item.is_code and code_md5(item.path, record["code"]) != item.md5)]


def _is_output(entry: StageEntry, place: Path, record: Mapping[str, Any]) -> bool:
    """Return whether what is kept at `place` is what dvc.lock has as the stage's outputs."""
    for item in entry.outs:
        names = [path for path in record["files"] if path == item.path or path.startswith(f"{item.path}/")]
        if sum(record["files"][path][0] for path in names) != item.size:
            return False
        md5s = {path.removeprefix(f"{item.path}/"): d.md5 for path in names if (d := digest_file(place / path)) is not None}
        if (folder_md5(md5s) if item.is_folder else md5s.get(item.path)) != item.md5:
            return False
    return bool(entry.outs)


def remove_false_records(root: Path) -> list[str]:
    """Take such stages out of dvc.lock and DVC's run cache, so that they run anew; return a sentence for each.

    What they made is kept for the parameters and code that made it. The caller has DVC's lock.
    """
    found = false_records(root)
    if found:
        from ruamel.yaml import YAML

        yaml = YAML()
        document = yaml.load(root / LOCK_FILE)
        for false in found:
            del document["stages"][false.entry.name]
            _forget_runs(root, false.entry)
        text = StringIO()
        yaml.dump(document, text)
        write_text(root / LOCK_FILE, text.getvalue())
    return [f"{false}; it runs anew where that is what is wanted now" for false in found]


def _forget_runs(root: Path, entry: StageEntry) -> None:
    """Remove the runs with these outputs, by which DVC would record the same again."""
    cache = cache_folder(root)
    if cache is None:
        return
    for path in (cache.parent.parent / "runs").glob("*/*/*"):
        text = path.read_text(encoding="utf-8", errors="replace")
        if all(item.md5 in text for item in entry.outs):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # another run of the same inputs is there
                path.parent.rmdir()  # DVC fails at an empty one
