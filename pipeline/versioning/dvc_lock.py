"""Read dvc.lock, and the lists of folders' files in DVC's cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import read_text

FILE = "dvc.lock"
FOLDER_SUFFIX = ".dir"
"""Ends the hash of a folder, which is that of the list of its files."""

_CODE = ("pipeline/", "extensions/")


@dataclass(frozen=True)
class Item:
    """A file or folder, relative to the project's root, as a stage read or wrote it.

    `md5` is "" where none is recorded; `size` in bytes.
    """

    path: str
    md5: str
    size: int = 0

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(FOLDER_SUFFIX)

    @property
    def is_code(self) -> bool:
        return self.path.startswith(_CODE)


@dataclass(frozen=True)
class Stage:
    """One stage as it ran."""

    name: str
    command: str
    deps: tuple[Item, ...]
    outs: tuple[Item, ...]
    params: dict[str, Any]


def read_lock(root: Path) -> dict[str, Stage]:
    """Stages by name; none where there is no dvc.lock. Raises UserError when it is damaged."""
    path = root / FILE
    return parse_lock(read_text(path), str(path)) if path.is_file() else {}


def parse_lock(text: str, where: str = FILE) -> dict[str, Stage]:
    """Stages by name from the text of a dvc.lock. Raises UserError, naming `where`, when it is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        entries = (YAML(typ="safe").load(text) or {}).get("stages") or {}
        return {name: _stage(name, entry) for name, entry in entries.items()}
    except (YAMLError, AttributeError, TypeError, KeyError, ValueError) as error:
        raise UserError(
            f"{where} cannot be read as a {FILE}; run 'redifine repro', which repairs it, or 'git checkout {FILE}'"
        ) from error


def _stage(name: str, entry: Mapping[str, Any]) -> Stage:
    params = {key: value for values in (entry.get("params") or {}).values() for key, value in values.items()}
    return Stage(str(name), str(entry.get("cmd") or ""), _items(entry, "deps"), _items(entry, "outs"), params)


def _items(entry: Mapping[str, Any], key: str) -> tuple[Item, ...]:
    return tuple(
        Item(str(item["path"]), str(item.get("md5") or ""), int(item.get("size") or 0)) for item in entry.get(key) or ()
    )


def cache_folder(root: Path) -> Path | None:
    """Where DVC keeps content by hash for the project at `root`; None where there is no DVC project."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root), uninitialized=False) as repo:
            return Path(repo.cache.local.path)
    except DvcException:
        return None


def read_listing(cache: Path | None, md5: str) -> dict[str, str] | None:
    """{path below the folder: md5} of a folder's hash; None where the cache lacks the list, or it is damaged."""
    if cache is None:
        return None
    try:
        content = (cache / md5[:2] / md5[2:]).read_bytes()
    except OSError:
        return None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() + FOLDER_SUFFIX != md5:
        return None
    return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}


def folder_md5(files: Mapping[str, str]) -> str:
    """{path below the folder: md5} -> the folder's hash, as DVC computes it."""
    entries = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + FOLDER_SUFFIX


def inputs_of(stages: Mapping[str, Stage]) -> list[Item]:
    """What the chain started from: files and folders that stages read and none wrote, but for code."""
    written = [item.path for item, _ in writers(stages)]
    return [item for stage in stages.values() for item in stage.deps if not item.is_code and not _touches(item.path, written)]


def _touches(path: str, written: Sequence[str]) -> bool:
    """Whether a path is an output, lies in one, or holds one."""
    return any(path == out or path.startswith(f"{out}/") or out.startswith(f"{path}/") for out in written)


def writers(stages: Mapping[str, Stage]) -> Iterator[tuple[Item, Stage]]:
    """Every output with the stage that wrote it."""
    for stage in stages.values():
        for item in stage.outs:
            yield item, stage
