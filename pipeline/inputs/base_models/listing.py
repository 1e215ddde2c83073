"""List the catalogue beside what is in models/base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.chain.model_names import CATALOGUE, FOLDER
from pipeline.inputs.base_models.check import describe_source
from pipeline.inputs.base_models.record import read_record


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


def as_json(found: list[ModelRow]) -> str:
    return json.dumps([vars(row) for row in found], indent=2, ensure_ascii=False)


def as_table(found: list[ModelRow]) -> str:
    """Format name, size, where it is, what for; the catalogue's source in full on a second line."""
    lines = []
    for row in found:
        place = "here" if row.here else "-"
        vae = f"; with {row.vae}" if row.vae else ""
        lines.append(f"{row.name:24} {row.gigabytes:5.1f} GB  {place:5} {row.purpose}{vae}")
        lines.append(f"{'':24} {row.source}, {row.licence or 'no licence stated'}")
    return "\n".join(lines)
