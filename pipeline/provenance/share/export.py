"""Export D_k as a data set, or M_k as a LoRA: a folder that stands on its own, with card, lineage and checksums."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.chain import params as parameters
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, sha256_file, write_bytes, write_text
from pipeline.core.json_files import read_json, read_jsonl, write_json
from pipeline.core.tensors import read_metadata
from pipeline.diffusion.families import FAMILIES
from pipeline.provenance.lineage.runs import first_recording_commit
from pipeline.provenance.share import croissant
from pipeline.provenance.share.cards import data_card, model_card
from pipeline.provenance.share.formats import WRITERS, read_images, write_checksums
from pipeline.provenance.share.iterations import ChainRecord, read_record

_PLAIN_WORDS = re.compile(r"[\w' -]{2,40}")
_MOST_TRIGGERS = 8
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")


def write_export(root: Path, k: int, format_: str, out: Path, name: str | None, licence: str) -> str:
    """Write the folder `out`, whole or not at all; returns the sha256 of its SHA256SUMS.

    Raise UserError when `out` holds something, the iteration does not exist or a file of it is missing or damaged.
    """
    check_empty(out)
    if not _LICENCE.fullmatch(licence):
        raise UserError(f"--licence must be as the hub writes it (mit, cc-by-4.0, unknown, ...), got {licence!r}")
    record = read_record(root)
    record.check_iterations([k])
    if format_ == "lora" and k == 0:
        raise UserError("M_0 is the base model itself, not a LoRA; give an iteration from 1 on")
    lineage = lineage_of(root, record, k)
    title = f"{name or slug(parameters.load(root / parameters.FILE).title)}-{'M' if format_ == 'lora' else 'D'}_{k}"
    if not _NAME.fullmatch(title):
        raise UserError(f"--name must be of letters, digits, '-', '_' and '.', because it names files, got {name!r}")
    with atomic_folder(out) as folder:
        if format_ == "lora":
            write_lora(root, folder, k, title, licence, lineage)
        else:
            _write_images(root, folder, k, format_, title, licence, lineage)
        write_json(folder / "lineage.json", {**lineage, "format": format_, "licence": licence, "name": title})
        return write_checksums(folder)


def lineage_of(root: Path, record: ChainRecord, k: int) -> dict[str, Any]:
    """Return generation k, its ancestors D_j and M_j by their DVC hashes, base model, parameters, code commit and metrics.

    Deterministic: no time, no host, no absolute path. Raise UserError when a file of the iteration is missing.
    """
    layout = Layout(root)
    base = read_json(layout.base_record(), {"model": str, "sha256": str})
    metrics = read_json(layout.metrics(k), {}) if layout.metrics(k).is_file() else {}
    stages = ["prepare", *(f"{stage}@{k}" for stage in ("curate", "train", "sample") if k)]
    return {
        "generation": k,
        "base_model": {"name": base["model"], "sha256": base["sha256"]},
        "parameters": record.stage_parameters(*stages),
        "code_commit": _code_commit(root, record, k),
        "data": {f"D_{j}": _hash(record, Layout().images(j)) for j in range(k + 1)},
        "models": {f"M_{j}": _hash(record, Layout().model(j)) for j in range(1, k + 1)},
        "metrics": {key: value for key, value in metrics.items() if isinstance(value, int | float)},
    }


def _hash(record: ChainRecord, path: Path) -> str | None:
    found = record.outputs.get(path.as_posix())
    return found.md5 if found else None


def _code_commit(root: Path, record: ChainRecord, k: int) -> str | None:
    """Return the commit that first recorded D_k; None before there is one."""
    md5 = _hash(record, Layout().images(k))
    found = first_recording_commit(root, Layout().images(k).as_posix(), md5) if md5 else None
    return found[0] if found else None


def _write_images(root: Path, folder: Path, k: int, format_: str, title: str, licence: str, lineage: Mapping[str, Any]) -> None:
    WRITERS[format_](folder, read_images(Layout(root), k), k)
    images = len(read_jsonl(Layout(root).manifest(k)))
    write_text(folder / "README.md", data_card(title, format_, images, licence, lineage))
    described = [path for path in folder.rglob("*") if path.name == "metadata.jsonl" or path.suffix in (".tar", ".png")]
    hashes = {path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(described)}
    write_json(folder / croissant.FILE, croissant.describe(title, format_, licence, lineage, hashes))


def check_empty(folder: Path) -> None:
    """Raise UserError when `folder` is a file, or holds anything."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"{folder} is not empty; name another folder with --out, or remove it first")


def slug(title: str) -> str:
    """Return a file name from a title: "Chain of Diffusion" -> "chain-of-diffusion"."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "chain"


def write_lora(root: Path, folder: Path, k: int, name: str, licence: str, lineage: Mapping[str, Any]) -> None:
    """Write NAME.safetensors with the bytes of M_k, README.md, and NAME.json. Raise UserError when M_k is missing."""
    source = Layout(root).lora(k)
    if not source.is_file():
        raise UserError(f"{source} does not exist; fetch it with 'redifine get {k}', or make it with 'dvc repro'")
    triggers = trigger_words(row["caption"] for row in read_jsonl(Layout(root).training_set(k), ("caption",)))
    write_bytes(folder / f"{name}.safetensors", source.read_bytes())
    write_json(folder / f"{name}.json", a1111_settings(k, triggers, _sd_version(source)))
    write_text(folder / "README.md", model_card(name, f"{name}.safetensors", licence, triggers, lineage))


def _sd_version(lora: Path) -> str:
    """Return A1111's name of the base model's architecture, after what the trainer wrote into the file."""
    base = read_metadata(lora).get("ss_base_model_version", "")
    return next((family.a1111_version for family in FAMILIES.values() if family.base_model_version == base), "Unknown")


def a1111_settings(k: int, triggers: list[str], sd_version: str) -> dict[str, Any]:
    """Return what A1111 shows on the LoRA's card: the keys are its own."""
    return {
        "activation text": ", ".join(triggers),
        "description": f"M_{k} of a Chain of Diffusion",
        "notes": "",
        "preferred weight": 1,
        "sd version": sd_version,
    }


def trigger_words(captions: Iterable[str]) -> list[str]:
    """Return the comma-separated pieces that at least half of the captions share, the most frequent first; plain words only."""
    pieces = [{piece.strip() for piece in caption.split(",")} for caption in captions]
    counts = Counter(piece for caption in pieces for piece in caption if _PLAIN_WORDS.fullmatch(piece))
    shared = [piece for piece, count in counts.items() if 2 * count >= len(pieces) > 1]
    return sorted(shared, key=lambda piece: (-counts[piece], piece))[:_MOST_TRIGGERS]
