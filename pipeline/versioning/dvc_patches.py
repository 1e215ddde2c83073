"""The parts of DVC that are replaced in this process; plain `dvc` keeps its own.

Reflinks: DVC creates the file at its place, asks the file system to share the content, and removes it where that cannot
be done; a kill in between leaves an empty file where a complete one should be. Ours works under a temporary name first, as
DVC's copies do.

Configuration: DVC empties its file before it knows whether it can write what it wants to, and can write ASCII only. Ours
writes UTF-8, and the whole file or nothing.

The lock: `dvc_waiting`. How a stage is run and an experiment queued: `dvc_stage_runs`, `queue_entry`.

Each can go when DVC does that itself (tests/versioning/test_dvc_internals.py notices).
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError, printable
from pipeline.core.files import replace_bytes
from pipeline.versioning.dvc_waiting import patch_lock


def patch_dvc() -> None:
    """From now on use our parts in this process; a second call changes nothing."""
    _patch_reflink()
    _patch_configuration()
    patch_lock()


def _patch_reflink() -> None:
    from dvc_objects.fs import system
    from dvc_objects.fs.utils import tmp_fname

    in_place = system.reflink
    if in_place.__module__ == __name__:
        return

    def reflink(source: str, place: str) -> None:
        unfinished = str(Path(place).with_name(tmp_fname()))
        in_place(source, unfinished)
        os.replace(unfinished, place)

    system.reflink = reflink


def _patch_configuration() -> None:
    from configobj import ConfigObj
    from dvc.config import Config

    in_ascii = ConfigObj.write
    if in_ascii.__module__ == __name__:
        return

    def write(self: Any, *arguments: Any, **settings: Any) -> Any:
        self.default_encoding = self.default_encoding or "utf-8"
        return in_ascii(self, *arguments, **settings)

    def save(self: Any, level: str, values: dict[str, Any]) -> None:
        replace_bytes(Path(self.files[level]), as_configuration(values, self.files[level]))

    ConfigObj.write = write
    Config._save_config = save


def as_configuration(values: dict[str, Any], where: str) -> bytes:
    """Return sections of DVC's configuration as the content of its file `where`.

    Raise UserError for what would be read otherwise than it was meant, or not at all: text that is no UTF-8, a name with
    quotation marks.
    """
    from configobj import ConfigObj, ConfigObjError
    from dvc.config import Config, ConfigError, _pack_named

    file = io.BytesIO()
    try:
        ConfigObj(_pack_named(values), default_encoding="utf-8").write(file)
        read = Config.load_file(where, fs=_OneFile(file.getvalue()))
    except (ConfigObjError, ConfigError, UnicodeError, ValueError) as error:
        raise UserError(_refusal(values, where)) from error
    if _as_text(read) != _as_text(values):
        raise UserError(_refusal(values, where))
    return file.getvalue()


class _OneFile:
    """A file system whose one file has this content."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def open(self, path: str) -> io.StringIO:
        return io.StringIO(self.content.decode())


def _as_text(value: Any) -> Any:
    """Return what DVC reads again of a value: text, with keys in small letters, and no empty section."""
    if isinstance(value, dict):
        return {str(key).lower(): _as_text(inner) for key, inner in value.items() if inner not in ({}, None)}
    return [str(inner) for inner in value] if isinstance(value, list | tuple) else str(value)


def _refusal(values: dict[str, Any], where: str) -> str:
    """Say which names and addresses are in doubt, but no other value: it may be a secret."""
    named = [f"{name} ({entry.get('url', 'no url')})" for name, entry in values.get("remote", {}).items()]
    return printable(
        f"{where} cannot hold the remote {' or '.join(named) or 'that was given'}: DVC would read it otherwise than it is "
        "written, or not at all (what is no UTF-8, or has %(...)s in it); nothing was changed, give another name or path"
    )
