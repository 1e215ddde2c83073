"""Export D_k as a data set, or M_k as a LoRA: a folder that stands on its own, with card, lineage and checksums."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.chain import params as parameters
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, sha256_file, write_text
from pipeline.core.json_files import read_jsonl, write_json
from pipeline.provenance.share import croissant
from pipeline.provenance.share.cards import data_card
from pipeline.provenance.share.checksums import write_checksums
from pipeline.provenance.share.formats import WRITERS, read_pictures
from pipeline.provenance.share.lineage import read_lineage
from pipeline.provenance.share.lora import write_lora
from pipeline.provenance.share.record import read_record

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")


def write_export(root: Path, k: int, format_: str, out: Path, name: str | None, licence: str) -> str:
    """Write the folder `out`, whole or not at all; returns the sha256 of its SHA256SUMS.

    Raises UserError when `out` holds something, the iteration does not exist or a file of it is missing or damaged.
    """
    check_empty(out)
    if not _LICENCE.fullmatch(licence):
        raise UserError(f"--licence must be as the hub writes it (mit, cc-by-4.0, unknown, ...), got {licence!r}")
    record = read_record(root)
    record.check_iterations([k])
    if format_ == "lora" and k == 0:
        raise UserError("M_0 is the base model itself, not a LoRA; give an iteration from 1 on")
    lineage = read_lineage(root, record, k)
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


def _write_images(root: Path, folder: Path, k: int, format_: str, title: str, licence: str, lineage: Mapping[str, Any]) -> None:
    WRITERS[format_](folder, read_pictures(Layout(root), k), k)
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
    """A file name from a title: "Chain of Diffusion" -> "chain-of-diffusion"."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "chain"
