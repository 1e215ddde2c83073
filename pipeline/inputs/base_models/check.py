"""Check that a base model is complete, every file as recorded, and list the catalogue beside what is in models/base."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.chain.model_names import CATALOGUE, FOLDER
from pipeline.core.errors import UserError
from pipeline.core.tensors import read_header
from pipeline.diffusion.judgement.recognise import Architecture, recognise
from pipeline.diffusion.judgement.usable import Role, faults
from pipeline.inputs.base_models.record import files_below, hashed, read_record

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
    found = recognise(folder, without)
    record = read_record(folder)
    sizes = {path: {"bytes": file.stat().st_size} for path, file in files_below(folder).items()}
    files = hashed(folder) if record else sizes
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


def as_json(found: Sequence[Report | ModelRow]) -> str:
    return json.dumps([vars(one) for one in found], indent=2, sort_keys=True, ensure_ascii=False)


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


@dataclass(frozen=True)
class ModelRow:
    """One model: in the catalogue, in models/base, or in both."""

    name: str
    purpose: str
    source: str
    licence: str | None
    gigabytes: float
    vae: str | None
    here: bool


def all_models(root: Path) -> list[ModelRow]:
    """List the catalogue in its order, then other models below models/base by name. Raise UserError for a damaged record."""
    places = sorted(path for path in (root / FOLDER).glob("*") if path.is_dir() and not path.name.startswith("."))
    here = {path.name: record for path in places if (record := read_record(path)) is not None}
    known = [
        ModelRow(entry.name, entry.purpose, f"{entry.repository}@{entry.revision}", entry.licence, entry.gigabytes, entry.vae,
            name in here)
        for name, entry in CATALOGUE.items()
    ]  # fmt: skip
    others = [
        ModelRow(name, record["kind"], describe_source(record["source"], record.get("licence")).removeprefix("from "),
            record.get("licence"), sum(row["bytes"] for row in record["files"].values()) / 1e9, None, True)
        for name, record in here.items() if name not in CATALOGUE
    ]  # fmt: skip
    return known + others


def as_table(found: list[ModelRow]) -> str:
    """Format name, size, where it is, what for; the catalogue's source in full on a second line."""
    lines = []
    for row in found:
        place = "here" if row.here else "-"
        vae = f"; with {row.vae}" if row.vae else ""
        lines.append(f"{row.name:24} {row.gigabytes:5.1f} GB  {place:5} {row.purpose}{vae}")
        lines.append(f"{'':24} {row.source}, {row.licence or 'no licence stated'}")
    return "\n".join(lines)
