"""Check that a base model is complete: every part there, every file as recorded; and its architecture and precision."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.tensors import read_header
from pipeline.inputs.base_models.architecture import Architecture, recognise
from pipeline.inputs.base_models.completeness import Role, faults
from pipeline.inputs.base_models.record import FILE, hashed, read_record

_PRECISIONS = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}


@dataclass(frozen=True)
class Report:
    """What `check` found; `faults` is empty for a model that a chain can start from."""

    folder: str
    kind: str
    what: str
    true_size: bool
    bytes: int
    files: int
    precision: list[str]
    source: dict[str, Any] | None
    licence: str | None
    faults: list[str]


def check(folder: Path, name: str, role: Role | None = None, without: Collection[str] = ()) -> Report:
    """Check every file of a model. Raise UserError when there is no such folder; `name` is what the report calls it.

    `role`: what params.yaml uses it for, if it does; the parts `without` need not be there.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {name}; bring the model with 'redifine base fetch', or name another folder")
    found = recognise(folder)
    record = read_record(folder)
    files = hashed(folder) if record else {path: {"bytes": size} for path, size in _sizes(folder).items()}
    changed = _changed(record["files"], files) if record else ()
    return Report(
        folder=name,
        kind=found.kind,
        what=found.what,
        true_size=found.true_size,
        bytes=sum(row["bytes"] for row in files.values()),
        files=len(files),
        precision=_precision(folder, found),
        source=record["source"] if record else None,
        licence=record.get("licence") if record else None,
        faults=[*faults(folder, found, role, without), *changed],
    )


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / FILE)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _changed(recorded: dict[str, Any], files: dict[str, Any]) -> Iterator[str]:
    """List files that differ from the record, are gone, or were added where a loader could read them."""
    for path, row in recorded.items():
        if path not in files:
            yield f"{path} is gone"
        elif files[path]["sha256"] != row["sha256"]:
            yield f"{path} is not the file that was fetched (sha256 differs)"
    yield from (f"{path} was added" for path in files if path not in recorded)


def _precision(folder: Path, found: Architecture) -> list[str]:
    """List the types of the U-Net's tensors, or of all weights of a model that has none."""
    place = folder / "unet" if "unet" in found.parts else folder
    kinds = set()
    for path in sorted(place.glob("*.safetensors")):
        try:
            kinds |= {tensor.dtype for tensor in read_header(path).values() if not tensor.dtype.startswith("I")}
        except UserError:
            continue
    return sorted(_PRECISIONS.get(kind, kind) for kind in kinds)


def as_json(reports: list[Report]) -> str:
    return json.dumps([vars(report) for report in reports], indent=2, sort_keys=True, ensure_ascii=False)


def as_text(report: Report) -> str:
    """Format a line on what it is, a line on where it came from, a line for each fault."""
    size = "" if report.kind in ("other", "tower") else " at its true size" if report.true_size else " in small"
    precision = f", {' and '.join(report.precision)}" if report.precision else ""
    lines = [f"{report.folder}: {report.what}{size}, {report.bytes / 1e9:.2f} GB in {report.files} files{precision}"]
    lines.append(f"  {describe_source(report.source, report.licence)}")
    lines += [f"  {fault}" for fault in report.faults] or ["  whole" + (", every file as recorded" if report.source else "")]
    return "\n".join(lines)


def describe_source(source: dict[str, Any] | None, licence: str | None) -> str:
    """Describe where a model came from."""
    if source is None:
        return "not fetched by redifine: no record to compare with"
    if "repository" in source:
        variant = f", {source['variant']}" if source.get("variant") else ""
        return f"from {source['repository']}@{source['revision'][:12]}{variant} ({licence or 'no licence stated'})"
    return f"from the folder {source['folder']}" if "folder" in source else f"from the file {source['file']}"
