"""Take someone's exported D_k as raw images and captions for a D_0; nothing is used before its hash is right."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes, write_bytes, write_text
from pipeline.core.json_files import write_json
from pipeline.provenance.share.formats import SPLIT, SUMS_FILE, parse_checksums

_TIMEOUT_SECONDS = 60
_MOST_BYTES = 4 * 1024**3
_HUB = re.compile(r"https://huggingface\.co/datasets/([\w.-]+/[\w.-]+)/?")
_STEM = re.compile(r"[A-Za-z0-9_-]{1,100}")
_MAY_BE_THERE = frozenset({"README.md", ".gitignore"})


Sample = tuple[str, bytes, str]
"""The name that an image has in the export, its PNG and its caption."""


@dataclass(frozen=True)
class CheckedExport:
    """An export of which every file that is read must have the hash that SHA256SUMS gives it; `name` is the user's."""

    name: str
    read_unchecked: Callable[[str], bytes]
    hashes: Mapping[str, str]

    def read(self, file: str) -> bytes:
        """Raise UserError when the file is not listed, missing or another one."""
        if file not in self.hashes:
            raise UserError(f"{file} is not in {SUMS_FILE} of {self.name}, so nothing can check it; get the set again")
        content = self.read_unchecked(file)
        if sha256_bytes(content) != self.hashes[file]:
            raise UserError(f"{file} of {self.name} is damaged or was changed (sha256 differs); get the set again")
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
    read = _reader(source)
    sums = read(SUMS_FILE)
    digest = sha256_bytes(sums)
    if expected is not None and digest != expected.lower():
        raise UserError(f"{source} is not the set that was meant: its SHA256SUMS has the sha256 {digest}, not {expected}")
    checked = CheckedExport(source, read, parse_checksums(sums, source))
    if found := [path.name for path in out.iterdir() if path.name not in _MAY_BE_THERE] if out.is_dir() else []:
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


def _reader(source: str) -> Callable[[str], bytes]:
    """Return what reads a file of a folder, or below an http address. Raise UserError for another kind of address."""
    scheme = urlsplit(source).scheme if "://" in source else ""
    if scheme in ("http", "https"):
        return partial(_read_from_web, source)
    if scheme:
        raise UserError(f"{source} is of a kind that cannot be imported ({scheme}); give a folder or an http address")
    if not Path(source).is_dir():
        raise UserError(f"{source} is no folder; give one that 'redifine export' wrote, or its http address")
    return partial(_read_from_folder, Path(source))


def _read_from_folder(folder: Path, file: str) -> bytes:
    path = folder / file
    try:
        # A link could lead anywhere.
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{path} leads out of {folder}; do not use this set")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {folder} must be a folder of 'redifine export'") from error


def _read_from_web(source: str, file: str) -> bytes:
    """Return a file below an address; the hub's page of a data set stands for its files."""
    hub = _HUB.fullmatch(source)
    base = f"https://huggingface.co/datasets/{hub[1]}/resolve/main" if hub else source.rstrip("/")
    address = f"{base}/{quote(file)}"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:
            content = bytes(answer.read(_MOST_BYTES + 1))
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise UserError(f"{address} cannot be fetched ({error}); check the address and the connection") from error
    if len(content) > _MOST_BYTES:
        raise UserError(f"{address} is larger than {_MOST_BYTES} bytes; fetch the set yourself and import the folder")
    return content


def _write_checked(checked: CheckedExport, lineage: Mapping[str, Any], folder: Path) -> int:
    """Write every sample to `folder`. Raise UserError for an unknown format, an unsafe or double name, and an empty set."""
    reader = _READERS.get(str(lineage.get("format")))
    if reader is None:
        raise UserError(
            f"{checked.name} is no data set (its lineage.json says {lineage.get('format')!r}); give an exported D_k"
        )
    stems: set[str] = set()
    for stem, image, caption in reader(checked):
        if not _STEM.fullmatch(stem) or stem in stems:
            raise UserError(f"{checked.name} has an image called {stem!r}, which is unsafe or there twice; do not use it")
        stems.add(stem)
        write_bytes(folder / f"{stem}.png", image)
        write_text(folder / f"{stem}.txt", caption)
    if not stems:
        raise UserError(f"{checked.name} holds no image; ask whoever exported it for another")
    return len(stems)


def _read_imagefolder(checked: CheckedExport) -> Iterator[Sample]:
    table = f"{SPLIT}/metadata.jsonl"
    for line in checked.read_text(table).removesuffix("\n").split("\n"):
        row = _parsed(line, table)
        file, caption = row.get("file_name"), row.get("text")
        if not isinstance(file, str) or not isinstance(caption, str):
            raise UserError(f"{table} has a line without file_name and text; ask whoever exported the set for another")
        yield PurePosixPath(file).stem, checked.read(f"{SPLIT}/{file}"), caption


def _read_kohya(checked: CheckedExport) -> Iterator[Sample]:
    for file in sorted(checked.hashes):
        if file.endswith(".png"):
            path = PurePosixPath(file)
            yield path.stem, checked.read(file), checked.read_text(str(path.with_suffix(".txt")))


def _read_webdataset(checked: CheckedExport) -> Iterator[Sample]:
    for file in sorted(checked.hashes):
        if file.endswith(".tar"):
            yield from _read_shard(checked.read(file), file)


def _read_shard(content: bytes, file: str) -> Iterator[Sample]:
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
        yield stem, found["png"], _decoded(found["txt"], f"{stem}.txt of {file}")


_READERS = {"hf-dataset": _read_imagefolder, "folder": _read_kohya, "webdataset": _read_webdataset}
