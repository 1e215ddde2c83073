"""Pages as one self-contained file: no request leaves them, and no value becomes markup unasked."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render_template(folder: Path, style: str, filters: dict[str, Callable[[str], Markup]] | None = None, **values: Any) -> str:
    """Return page.html.j2 of `folder` with its page.js, whose hash lets it alone run; equal values give equal text."""
    script = (folder / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(filters or {})
    return environment.get_template("page.html.j2").render(
        style=Markup(style),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        **values,
    )
