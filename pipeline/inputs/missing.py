"""Inputs that params.yaml names and that are not there, and the commands that bring them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.chain.params import MODEL_PARAMETERS
from pipeline.core.errors import UserError
from pipeline.core.weights import no_model

PAPER_SETS = ("pokemon", "celeba", "kumapi", "butterfly")
"""The data sets that `redifine dataset prepare` knows by name, and brings to raw/NAME."""


def no_raw_folder(folder: Path) -> UserError:
    """Return the UserError for `folder` (params.yaml) that is no folder here, with how it becomes one."""
    if folder.name in PAPER_SETS:
        return UserError(
            f"{folder} is not a folder; run 'redifine dataset prepare {folder.name} DOWNLOADED', with the captioning models "
            f"that presets/{folder.name}.yaml names (docs/datasets.md says where to get the images)"
        )
    return UserError(f"{folder} is not a folder; put the images and their .txt captions there, or set folder in params.yaml")


def missing_inputs(values: Mapping[str, Any], root: Path) -> list[str]:
    """List a sentence for each model, and for raw images, that parameters name and `root` lacks, with what brings it."""
    given = {key: value for key in (*MODEL_PARAMETERS, "folder") if (value := values.get(key)) and not (root / value).exists()}
    return [f"{key}: {no_raw_folder(Path(value)) if key == 'folder' else no_model(value, key)}" for key, value in given.items()]
