"""Which sets are here in part because `redifine get --images` brought no more of them: notes of this clone alone."""

from __future__ import annotations

from pathlib import Path

_NOTES = Path(".dvc/tmp/partial_sets")
"""An empty file for each set; DVC keeps this folder out of Git."""


def note_partial(root: Path, images: Path) -> None:
    """Note that of the set `images` (data/D_3) files are left out."""
    (root / _NOTES).mkdir(parents=True, exist_ok=True)
    (root / _NOTES / images.name).touch()


def note_whole(root: Path, images: Path) -> None:
    """Forget what `note_partial` noted."""
    (root / _NOTES / images.name).unlink(missing_ok=True)


def is_partial(root: Path, images: str) -> bool:
    """Whether the set was fetched in part; whether files of it are missing, a look at it tells."""
    return (root / _NOTES / Path(images).name).is_file()
