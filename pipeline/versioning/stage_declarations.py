"""Read what dvc.yaml declares of a stage: its dependencies and outputs, with the values of params.yaml in their places.

Without DVC, whose import would cost each stage as much as a small one takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "dvc.yaml"

_TEMPLATE = re.compile(r"\$\{\s*([\w.]+)\s*\}")


@dataclass(frozen=True)
class Declaration:
    """Paths, relative to the project's root, of what a stage reads and of what it writes."""

    deps: tuple[str, ...]
    outs: tuple[str, ...]


def declaration(root: Path, name: str, values: Mapping[str, Any]) -> Declaration | None:
    """Return what dvc.yaml declares of a stage ("train@1"), with `values` in its templates; None for no such stage."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    kind, _, key = name.partition("@")
    try:
        stage = YAML(typ="safe").load(root / FILE)["stages"][kind]
        if "foreach" in stage:
            values = {**values, "key": key, "item": _look_up(stage["foreach"], values)[key]}
            stage = stage["do"]
        deps = tuple(_filled(path, values) for path in stage.get("deps") or ())
        written = [*(stage.get("outs") or ()), *(stage.get("metrics") or ())]
        return Declaration(deps, tuple(_filled(entry, values) for entry in written))
    except (OSError, YAMLError, KeyError, TypeError, AttributeError):
        return None


def _look_up(template: Any, values: Mapping[str, Any]) -> Any:
    return values[template[2:-1].strip()] if isinstance(template, str) else template


def _filled(entry: Any, values: Mapping[str, Any]) -> str:
    """Return an entry's path; an entry with options is a mapping with the path as its only key."""
    path = entry if isinstance(entry, str) else next(iter(entry))

    def value(found: re.Match[str]) -> str:
        here: Any = values
        for word in found[1].split("."):
            here = here[word]
        return str(here)

    return _TEMPLATE.sub(value, path)
