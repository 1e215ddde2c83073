"""What to do about a folder of raw images that is not there."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import UserError

PAPER_SETS = ("pokemon", "celeba", "kumapi", "butterfly")
"""The data sets that `redifine dataset prepare` knows by name, and brings to raw/NAME."""


def no_raw_folder(folder: Path) -> UserError:
    """Why a chain cannot start from `folder` (params.yaml), which is no folder here, and how it becomes one."""
    if folder.name in PAPER_SETS:
        return UserError(
            f"{folder} is not a folder; run 'redifine dataset prepare {folder.name} DOWNLOADED', with the captioning models "
            f"that presets/{folder.name}.yaml names (docs/datasets.md says where to get the pictures)"
        )
    return UserError(f"{folder} is not a folder; put the images and their .txt captions there, or set folder in params.yaml")
