"""Take someone's exported D_k as raw images and captions for a D_0; nothing is used before its hash is right."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes, write_bytes, write_text
from pipeline.core.json_files import write_json
from pipeline.provenance.share import checksums
from pipeline.provenance.share.export_source import ExportSource, open_source
from pipeline.provenance.share.formats import SPLIT

_STEM = re.compile(r"[A-Za-z0-9_-]{1,100}")
_KEPT = frozenset({"README.md", ".gitignore"})


@dataclass(frozen=True)
class ImportedImage:
    """One image and its caption, under a name that is safe as a file's."""

    stem: str
    image: bytes
    caption: str


@dataclass(frozen=True)
class CheckedExport:
    """An export of which every file that is read must have the hash that SHA256SUMS gives it."""

    source: ExportSource
    hashes: Mapping[str, str]

    def read(self, file: str) -> bytes:
        """Raise UserError when the file is not listed, missing or another one."""
        if file not in self.hashes:
            raise UserError(
                f"{file} is not in {checksums.FILE} of {self.source.name}, so nothing can check it; get the set again"
            )
        content = self.source.read(file)
        if sha256_bytes(content) != self.hashes[file]:
            raise UserError(f"{file} of {self.source.name} is damaged or was changed (sha256 differs); get the set again")
        return content

    def read_text(self, file: str) -> str:
        return _decoded(self.read(file), file)

    def read_json(self, file: str) -> dict[str, Any]:
        return _parsed(self.read_text(file), file)


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text; ask whoever exported the set for another") from error


def _parsed(text: str, file: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid JSON; ask whoever exported the set for another") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} must hold JSON objects; ask whoever exported the set for another")
    return found


def import_set(source: str, out: Path, expected: str | None) -> int:
    """Write the images and captions of an exported D_k to `out`, beside it its lineage; returns how many images.

    Everything is checked in a folder beside `out` first. Raise UserError when a hash is wrong, when SHA256SUMS is not the
    `expected` one, or when `out` holds something.
    """
    export = open_source(source)
    sums = export.read(checksums.FILE)
    digest = sha256_bytes(sums)
    if expected is not None and digest != expected.lower():
        raise UserError(f"{source} is not the set that was meant: its SHA256SUMS has the sha256 {digest}, not {expected}")
    checked = CheckedExport(export, checksums.parse_checksums(sums, source))
    if found := [path.name for path in out.iterdir() if path.name not in _KEPT] if out.is_dir() else []:
        raise UserError(
            f"{out} is not empty (it holds {sorted(found)[0]}); name another folder with --out, or move the files away"
        )
    lineage = checked.read_json("lineage.json")
    staging = out.with_name(f".{out.name}.import")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        count = _write_checked(checked, lineage, staging)
        out.mkdir(parents=True, exist_ok=True)
        for path in sorted(staging.iterdir()):
            path.replace(out / path.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    write_json(out.with_name(f"{out.name}.lineage.json"), {"sha256sums": digest, "lineage": lineage})
    return count


def _write_checked(checked: CheckedExport, lineage: Mapping[str, Any], folder: Path) -> int:
    """Write every sample to `folder`. Raise UserError for an unknown format, an unsafe or double name, and an empty set."""
    reader = _READERS.get(str(lineage.get("format")))
    if reader is None:
        raise UserError(
            f"{checked.source.name} is no data set (its lineage.json says {lineage.get('format')!r}); give an exported D_k"
        )
    stems: set[str] = set()
    for sample in reader(checked):
        if not _STEM.fullmatch(sample.stem) or sample.stem in stems:
            raise UserError(
                f"{checked.source.name} has an image called {sample.stem!r}, which is unsafe or there twice; do not use it"
            )
        stems.add(sample.stem)
        write_bytes(folder / f"{sample.stem}.png", sample.image)
        write_text(folder / f"{sample.stem}.txt", sample.caption)
    if not stems:
        raise UserError(f"{checked.source.name} holds no image; ask whoever exported it for another")
    return len(stems)


def _read_imagefolder(checked: CheckedExport) -> Iterator[ImportedImage]:
    table = f"{SPLIT}/metadata.jsonl"
    for line in checked.read_text(table).removesuffix("\n").split("\n"):
        row = _parsed(line, table)
        file, caption = row.get("file_name"), row.get("text")
        if not isinstance(file, str) or not isinstance(caption, str):
            raise UserError(f"{table} has a line without file_name and text; ask whoever exported the set for another")
        yield ImportedImage(PurePosixPath(file).stem, checked.read(f"{SPLIT}/{file}"), caption)


def _read_kohya(checked: CheckedExport) -> Iterator[ImportedImage]:
    for file in sorted(checked.hashes):
        if file.endswith(".png"):
            path = PurePosixPath(file)
            yield ImportedImage(path.stem, checked.read(file), checked.read_text(str(path.with_suffix(".txt"))))


def _read_webdataset(checked: CheckedExport) -> Iterator[ImportedImage]:
    for file in sorted(checked.hashes):
        if file.endswith(".tar"):
            yield from _read_shard(checked.read(file), file)


def _read_shard(content: bytes, file: str) -> Iterator[ImportedImage]:
    """Yield members of one tar, read in memory: nothing is unpacked by name."""
    parts: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                stem, _, suffix = member.name.partition(".")
                member_file = tar.extractfile(member) if member.isfile() else None
                if member_file is not None and suffix in ("png", "txt"):
                    parts.setdefault(stem, {})[suffix] = member_file.read()
    except tarfile.TarError as error:
        raise UserError(f"{file} is no tar archive; ask whoever exported the set for another") from error
    for stem, found in parts.items():
        if found.keys() != {"png", "txt"}:
            raise UserError(f"{file} has {stem!r} without its image or its caption; ask whoever exported the set for another")
        yield ImportedImage(stem, found["png"], _decoded(found["txt"], f"{stem}.txt of {file}"))


_READERS = {"hf-dataset": _read_imagefolder, "folder": _read_kohya, "webdataset": _read_webdataset}
