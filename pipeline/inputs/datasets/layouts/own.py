"""A folder of one's own, flat or in one of the layouts that trainers and hubs have (image_folder reads them all)."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.image_folder import Picture, read_image_folder
from pipeline.inputs.datasets.items import CaptionFile, RawItem, RawListing


def read(folder: Path) -> RawListing:
    """List the folder's pictures with the captions that its files and tables give. Raise UserError when there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that holds the images (docs/datasets.md)")
    listing = read_image_folder(folder)
    if not listing.pictures and not listing.problems:
        raise UserError(f"{folder} holds no image; put the images there, or name their folder (docs/datasets.md)")
    items = [
        RawItem(picture.name, picture.path, label=picture.label, caption=_elsewhere(picture)) for picture in listing.pictures
    ]
    return RawListing(items, listing.problems, listing.notices, is_flat=listing.is_flat)


def _elsewhere(picture: Picture) -> CaptionFile | None:
    return picture.caption() if picture.told or picture.class_tokens else None
