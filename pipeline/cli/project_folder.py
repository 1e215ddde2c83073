"""Run every command at the project's root, from whichever folder of it, as Git does; given paths keep their meaning.

Paths that a person gives are those of the folder in which the command was typed; defaults and what params.yaml names are
those of the root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from pipeline.core.errors import UserError
from pipeline.core.files import project_root

_typed_in = Path()
"""The folder in which the command was typed, relative to the project's root, where this process is."""


@contextmanager
def at_project_root() -> Iterator[None]:
    """Go to the root of the project that the current folder lies in; stay where there is none.

    Raise UserError when the folder is gone.
    """
    global _typed_in
    try:
        start = Path.cwd()
    except FileNotFoundError as error:
        raise UserError("the current folder was removed; go to the project's folder and run this again") from error
    root = project_root(start)
    if root == start:
        yield
        return
    before, _typed_in = _typed_in, start.relative_to(root)
    os.chdir(root)
    try:
        yield
    finally:
        _typed_in = before
        os.chdir(start)


def folder_of_typing() -> Path:
    """Return the folder in which the command was typed, absolute."""
    return Path.cwd() / _typed_in


def given_path(text: str) -> str:
    """Return a path that was typed as it is called from the root: "../x.png" typed in data/D_1 is "data/x.png"."""
    return text if _typed_in == Path() else os.path.normpath(_typed_in / text)


class GivenPath(click.Path):
    """A path on the command line; its default is relative to the project's root, and a `Path` already."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(given_path(value) if isinstance(value, str) else value, param, ctx)


class PathOrName(click.ParamType):
    """A path, or the name of something else: text that names no file or folder where it was typed stays as it is."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = given_path(str(value))
        return path if os.path.exists(path) else str(value)
