"""The models that the paper's runs need, by name: where they are, at which revision, under which terms."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class CatalogueEntry:
    """One model on the hub; `sha256` has the published hashes of its weights, by their names there, so that no mirror can
    give others."""

    name: str
    purpose: str
    repository: str
    revision: str
    licence: str
    gigabytes: float
    vae: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)


_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
CATALOGUE: Mapping[str, CatalogueEntry] = MappingProxyType({name: CatalogueEntry(name, **row) for name, row in _TABLE.items()})

LOCAL = "sd15-local"
"""What a copy of SD 1.5 of one's own is called: a folder or a single file that `redifine base fetch` is given."""

FOLDER = Path("models/base")
"""Where fetched models are, below the project's root."""

HUB_ID = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w.-][\w./-]*))?")


def fault_of_setting(value: str | None) -> str | None:
    """Return why `model` or `vae` (params.yaml) cannot be `value`, whatever is on the disk; None when it can be a path."""
    if value == LOCAL:
        return (
            f"{value} stands for a copy of your own; run 'redifine base fetch FOLDER_OR_FILE --name {value}' and "
            f"set {FOLDER.as_posix()}/{value}"
        )
    if value is None or not (value in CATALOGUE or ("@" in value and HUB_ID.fullmatch(value))):
        return None
    name = value if value in CATALOGUE else value.partition("@")[0].partition("/")[2]
    return f"{value} is a name, not a folder; run 'redifine base fetch {value}' and set {FOLDER.as_posix()}/{name}"
