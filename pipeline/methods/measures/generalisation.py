"""From generalising to memorising: how far drawn images keep from the training set (arXiv 2509.16499)."""

from __future__ import annotations

import numpy as np

from pipeline.core.distances import CentredPoints, nearest_of
from pipeline.methods.measures import MeasuredSets, measure


@measure(
    "generalisation_score",
    title="Generalisation score",
    note="Mean distance from a drawn image to the nearest image that its model was finetuned on: falling towards 0 means that "
    "training images are repeated",
    better="higher",
    source="arXiv 2509.16499",
    heading="GS_K",
    pages=("compare", "table", "summary", "plots"),
)
def _generalisation_score(sets: MeasuredSets) -> float:
    return generalisation_score(sets.near_features, sets.training)


def generalisation_score(generated: np.ndarray, training: np.ndarray) -> float:
    """[N,d], [M,d] -> GS, the mean distance from a generated image to the nearest training image; 0 for copies.

    Raises ValueError when a set is empty.
    """
    if min(len(generated), len(training)) == 0:
        raise ValueError(f"the score needs images in both sets, got {len(generated)} and {len(training)}")
    return float(nearest_of(CentredPoints(generated), training).mean(dtype=np.float64))
