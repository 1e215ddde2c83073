"""What the layouts share: where the images are, and which files are images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.folder_contents import is_litter, kind_of
from pipeline.inputs.datasets.images import SUFFIXES
from pipeline.inputs.datasets.items import Problem, RawListing


def image_folder(folder: Path, candidates: Iterable[str]) -> Path:
    """Return the first of `candidates` below `folder` that holds an image; of several that a * stands for, the last by name.

    Raise UserError when none does.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that holds the raw data set (docs/datasets.md shows its tree)")
    tried = list(candidates)
    for candidate in tried:
        for place in sorted(folder.glob(candidate), reverse=True) if "*" in candidate else [folder / candidate]:
            if place.is_dir() and any(is_image(path) for path in place.iterdir()):
                return place
    places = ", ".join(candidate or "." for candidate in tried)
    raise UserError(f"{folder} holds no image in any of {places}; docs/datasets.md shows the tree that is expected there")


def is_image(path: Path) -> bool:
    return kind_of(path) == "image" and path.is_file()


def images_in(folder: Path, listing: RawListing) -> list[Path]:
    """List the images directly in `folder`, in order of name; what else is there and nothing explains becomes a problem."""
    found = []
    for path in sorted(folder.iterdir()):
        if is_litter(path):
            listing.litter.append(path.name)
        elif is_image(path):
            found.append(path)
        elif reason := _no_image(path):
            listing.problems.append(Problem(path.name, reason))
    return found


def _no_image(path: Path) -> str | None:
    """Return why something beside the images is none of them; None for a folder and for files that may well be there."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return "is a folder, though it is named as an image" if suffix in SUFFIXES else None
    if not path.is_file():
        return "is a link that leads nowhere" if path.is_symlink() else "is no plain file"
    if suffix in (".csv", ".json") or kind_of(path) in ("caption", "table", "companion"):
        return None
    return f"is no image ({', '.join(sorted(SUFFIXES))})"


def first_file(folders: Iterable[Path], names: Iterable[str]) -> Path | None:
    """Return the first file of these names in the first folder that has one."""
    wanted = list(names)
    return next((folder / name for folder in folders for name in wanted if (folder / name).is_file()), None)
