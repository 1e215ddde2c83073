"""What this package's files, and the project's extensions, were before this process, or the fork server that it is a fork of,
imported any of them: what runs here, whatever is written into the files meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]

FOLDERS = (_PACKAGE.name, "extensions")
"""Where a project's code is, from its root."""

ROOT = _PACKAGE.parent
"""The folder that holds this package."""

_at_start: dict[Path, dict[str, str]] = {}
_imported_at: list[int] = []


def code_on_disk(root: Path) -> dict[str, str]:
    """Return {path relative to `root`: md5, in hexadecimal} of all code there, as it is now."""
    return {path: md5 for folder in FOLDERS for path, md5 in _md5s(root, folder)}


def _md5s(root: Path, folder: str) -> list[tuple[str, str]]:
    found = []
    for place, folders, names in os.walk(root / folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(place, name)
            try:
                md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            except OSError:  # gone since it was listed
                continue
            found.append((path.relative_to(root).as_posix(), md5))
    return found


def note_code() -> None:
    """Note the code as it is before anything is imported: that of this package, and of the project in the current folder."""
    for root in {ROOT, Path.cwd()}:
        _at_start[root] = code_on_disk(root)


def note_imported() -> None:
    """Note that from now on nothing is imported that a later change of a file could reach."""
    _imported_at.append(time.time_ns())


def code_at_start(root: Path) -> dict[str, str]:
    """Return what `code_on_disk` said of `root` when the code was noted; says it now where it was not."""
    root = root.resolve()
    if root not in _at_start:
        _at_start[root] = code_on_disk(root)
    return _at_start[root]


def changed_after_imports(path: Path) -> bool:
    """Return whether a file last changed after the imports, so that what ran is what was noted, and not the change."""
    try:
        return bool(_imported_at) and path.stat().st_ctime_ns > _imported_at[0]
    except OSError:
        return False


def is_as_noted() -> bool:
    """Return whether all that was noted is still what the files hold."""
    return all(code_on_disk(root) == noted for root, noted in _at_start.items())
