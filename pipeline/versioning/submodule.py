"""sd-scripts' folder as Git sees it."""

from __future__ import annotations

from pathlib import Path

LINK = Path("vendor/sd-scripts/.git")


def remove_dangling_link(root: Path) -> None:
    """Remove sd-scripts' .git where it is a file that names a repository that is not there: Git refuses all work beside it.

    DVC's Git library writes such a file when an experiment begins in a clone without sd-scripts.
    """
    link = root / LINK
    if not link.is_file():
        return
    named = link.read_text(encoding="utf-8", errors="replace").removeprefix("gitdir:").strip()
    if not (link.parent / named).exists():
        link.unlink(missing_ok=True)
