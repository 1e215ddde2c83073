"""The data sets that are known by name: where from, how many images, which layout reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.items import RawListing
from pipeline.inputs.datasets.layouts import butterfly, celeba, own, pokemon, tree


@dataclass(frozen=True)
class Dataset:
    """One data set; `images` is the paper's number (A.2), None where any will do."""

    name: str
    what: str
    source: str
    read: Callable[[Path], RawListing]
    images: int | None = None
    size: int | None = None
    """Pixels of the square that images become; None: files are copied as they are."""
    subsample: bool = False
    """Whether the owner's set is larger than the paper's, which is drawn from it."""


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "pokemon", "artwork, one image for each Pokedex number", "pokemon.com, PokeAPI/sprites", pokemon.read, 1008, 512
        ),
        Dataset("celeba", "portraits, aligned and cropped", "mmlab.ie.cuhk.edu.hk, Kaggle", celeba.read, 1000, 512, True),
        Dataset("kumapi", "hand-drawn illustrations", "Kaggle ihelon/illustrations-kumapi390", tree.read, 391, 512),
        Dataset("butterfly", "photographs of ten species", "Zenodo 7558895, Kaggle", butterfly.read, 832, 512),
        Dataset("folder", "your images: flat, 10_name folders, imagefolder", "yours", own.read),
    )
}


def dataset(name: str) -> Dataset:
    """Return the data set of this name. Raise UserError that lists the known ones."""
    if name not in DATASETS:
        raise UserError(f"there is no data set {name!r}; the known ones are {', '.join(DATASETS)}")
    return DATASETS[name]
