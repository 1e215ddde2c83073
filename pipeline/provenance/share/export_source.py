"""Where an exported D_k is read from: a folder, or an http address."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from pipeline.core.errors import UserError

_TIMEOUT_SECONDS = 60
_MOST_BYTES = 4 * 1024**3
_HUB = re.compile(r"https://huggingface\.co/datasets/([\w.-]+/[\w.-]+)/?")


class ExportSource(Protocol):
    """A folder of an export, here or on the web."""

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    def read(self, file: str) -> bytes:
        """Return content of one file. Raise UserError when it cannot be had."""
        ...


@dataclass(frozen=True)
class Folder:
    """An export on this machine."""

    name: str

    def read(self, file: str) -> bytes:
        path = Path(self.name) / file
        try:
            # A link could lead anywhere.
            if not path.resolve().is_relative_to(Path(self.name).resolve()):
                raise UserError(f"{path} leads out of {self.name}; do not use this set")
            return path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}); {self.name} must be a folder of 'redifine export'"
            ) from error


@dataclass(frozen=True)
class Web:
    """An export below an http address; the hub's page of a data set stands for its files."""

    name: str

    def read(self, file: str) -> bytes:
        hub = _HUB.fullmatch(self.name)
        base = f"https://huggingface.co/datasets/{hub[1]}/resolve/main" if hub else self.name.rstrip("/")
        address = f"{base}/{quote(file)}"
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:
                content = bytes(answer.read(_MOST_BYTES + 1))
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise UserError(f"{address} cannot be fetched ({error}); check the address and the connection") from error
        if len(content) > _MOST_BYTES:
            raise UserError(f"{address} is larger than {_MOST_BYTES} bytes; fetch the set yourself and import the folder")
        return content


def open_source(source: str) -> ExportSource:
    """Return a folder or an http address. Raise UserError for another kind of address."""
    scheme = urlsplit(source).scheme if "://" in source else ""
    if scheme in ("http", "https"):
        return Web(source)
    if scheme:
        raise UserError(f"{source} is of a kind that cannot be imported ({scheme}); give a folder or an http address")
    if not Path(source).is_dir():
        raise UserError(f"{source} is no folder; give one that 'redifine export' wrote, or its http address")
    return Folder(source)
