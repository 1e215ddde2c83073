"""Code that Git does not know: an experiment's commit lacks it, and so does the copy that DVC's queue, or a sweep, runs in."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from pipeline.core.errors import UserError
from pipeline.versioning.dvc_lock import CODE
from pipeline.versioning.git import ask_git
from pipeline.versioning.hashes import is_ignored

_SHOWN = 3


def check_code_is_in_git(root: Path) -> None:
    """Raise UserError that names the files of the code which Git does not know."""
    if missing := untracked_code(root):
        names = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        are, them = ("are", "them") if len(missing) > 1 else ("is", "it")
        raise UserError(
            f"{names} {are} not in Git, and runs that are kept or made in copies have only what Git holds; "
            f"'git add -f {' '.join(missing[:_SHOWN])}', or move {them} away"
        )


def untracked_code(root: Path) -> list[str]:
    """Return the files of pipeline/ and extensions/, and the modules beside these that they import, that Git does not know.

    A module counts although Git is told to ignore it; other files do not, nor what editors leave.
    """
    inside = [name for name in _unknown(root, CODE, "--exclude-standard") if _is_part_of_code(name)]
    modules = [name for name in _unknown(root, [*CODE, *_imported_beside(root)]) if _is_part_of_code(name)]
    return sorted({*inside, *(name for name in modules if name.endswith(".py"))})


def _unknown(root: Path, places: Iterable[str], *options: str) -> list[str]:
    listed = ask_git(root, "ls-files", "--others", "-z", *options, "--", *places) or ""
    return [name for name in listed.split("\0") if name]


def _is_part_of_code(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not any(part.startswith(".") or part.endswith("~") or is_ignored(part) for part in parts)


def _imported_beside(root: Path) -> Iterator[str]:
    """Yield files and folders of the root that the code imports as a module, which it can because it runs there."""
    files = sorted(path for place in CODE for path in (root / place).rglob("*.py"))
    for name in sorted({module for file in files for module in _imports(file)} - {place.strip("/") for place in CODE}):
        yield from (place for place in (f"{name}.py", f"{name}/") if (root / place).exists())


def _imports(file: Path) -> set[str]:
    """Return the first words of the modules that a file imports; none of one that is no Python."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError, OSError):
        return set()
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    taken = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in plain | taken} - {""}
