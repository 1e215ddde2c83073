"""Read dvc.lock, of the work tree or of a commit: what each stage read and wrote, by path and checksum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.chain import params
from pipeline.core.errors import UserError
from pipeline.core.files import read_text
from pipeline.versioning.git import ask_git
from pipeline.versioning.hashes import FOLDER_SUFFIX

LOCK_FILE = "dvc.lock"

CODE = ("pipeline/", "extensions/")
"""Where what the stages run lies."""


def is_code(path: str) -> bool:
    """Return whether a dependency is a module, or a folder of them."""
    return path.startswith(CODE)


@dataclass(frozen=True)
class PathEntry:
    """A dependency or an output of a stage: a file or folder, relative to the project's root.

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
        return is_code(self.path)


@dataclass(frozen=True)
class StageEntry:
    """A stage as it ran: its command, dependencies, outputs and parameters."""

    name: str
    command: str
    deps: tuple[PathEntry, ...]
    outs: tuple[PathEntry, ...]
    params: dict[str, Any]

    @property
    def k(self) -> int | None:
        """The iteration that it is a stage of."""
        number = self.name.partition("@")[2]
        return int(number) if number.isascii() and number.isdigit() else None


def read_lock(root: Path) -> dict[str, StageEntry]:
    """Return the chain's stages by name, as the work tree records them; none where there is no dvc.lock.

    DVC leaves the entries of iterations that are no longer in params.yaml: those are no part of the chain, and not returned.
    Raise UserError when the file is damaged.
    """
    return of_chain(read_all_stages(root), chain_iterations(root))


def read_all_stages(root: Path) -> dict[str, StageEntry]:
    """Return every stage in the work tree's dvc.lock, also of iterations that the chain no longer has."""
    path = root / LOCK_FILE
    return parse_lock(read_text(path), str(path)) if path.is_file() else {}


def chain_iterations(root: Path) -> frozenset[int] | None:
    """Return which k the work tree's chain has; None where its params.yaml does not tell."""
    return params.listed_iterations(read_text(root / params.FILE)) if (root / params.FILE).is_file() else None


def of_chain(stages: Mapping[str, StageEntry], ks: frozenset[int] | None) -> dict[str, StageEntry]:
    """Return the stages without those of other iterations than `ks`; all of them for None."""
    return {name: stage for name, stage in stages.items() if ks is None or stage.k is None or stage.k in ks}


def read_lock_at(root: Path, commit: str, name: str | None = None) -> dict[str, StageEntry] | None:
    """Return the chain's stages as a commit records them; None where it has no dvc.lock.

    Raise UserError, naming `name`, when it is damaged.
    """
    text = ask_git(root, "show", f"{commit}:./{LOCK_FILE}")
    if text is None:
        return None
    ks = params.listed_iterations(ask_git(root, "show", f"{commit}:./{params.FILE}") or "")
    return of_chain(parse_lock(text, f"{LOCK_FILE} of {name or commit}"), ks)


def parse_lock(text: str, where: str = LOCK_FILE) -> dict[str, StageEntry]:
    """Return the stages in the text of a dvc.lock. Raise UserError, naming `where`, when it is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        entries = (YAML(typ="safe").load(text) or {}).get("stages") or {}
        return {name: _stage(name, entry) for name, entry in entries.items()}
    except (YAMLError, AttributeError, TypeError, KeyError, ValueError) as error:
        raise UserError(
            f"{where} cannot be read as a {LOCK_FILE}; run 'redifine repro', which repairs it, or 'git checkout {LOCK_FILE}'"
        ) from error


def _stage(name: str, entry: Mapping[str, Any]) -> StageEntry:
    read = {key: value for values in (entry.get("params") or {}).values() for key, value in values.items()}
    deps, outs = (tuple(_path(row) for row in entry.get(key) or ()) for key in ("deps", "outs"))
    return StageEntry(str(name), str(entry.get("cmd") or ""), deps, outs, read)


def _path(row: Mapping[str, Any]) -> PathEntry:
    return PathEntry(str(row["path"]), str(row.get("md5") or ""), int(row.get("size") or 0))


def source_dependencies(stages: Mapping[str, StageEntry]) -> list[PathEntry]:
    """Return what the chain started from: dependencies that no stage wrote, but for code."""
    written = [item.path for item, _ in all_outputs(stages)]
    return [item for stage in stages.values() for item in stage.deps if not item.is_code and not _touches(item.path, written)]


def _touches(path: str, written: Sequence[str]) -> bool:
    """Return whether a path is an output, lies in one, or holds one."""
    return any(path == out or path.startswith(f"{out}/") or out.startswith(f"{path}/") for out in written)


def all_outputs(stages: Mapping[str, StageEntry]) -> Iterator[tuple[PathEntry, StageEntry]]:
    """Yield every output with the stage that wrote it."""
    for stage in stages.values():
        for item in stage.outs:
            yield item, stage
