"""The features of T_k, gathered from those of the sets that its images come from."""

from __future__ import annotations

import numpy as np

from pipeline.chain.image_sets import features_of
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl


def training_features(layout: Layout, k: int, width: int) -> np.ndarray:
    """Features of T_k's images in its order, [M,width] float32: each from its own D_j's features/j.safetensors.

    Raise UserError when T_k is empty, or features are missing, of another width, or not those of D_j's manifest.
    """
    rows = read_jsonl(layout.training_set(k), ("k", "prompt_index", "image_index"))
    if not rows:
        raise UserError(f"{layout.training_set(k)} lists no images; make T_{k} again with 'dvc repro'")
    features = features_of(layout, rows)
    if features.shape[1] != width:
        raise UserError(
            f"the features of T_{k}'s images have {features.shape[1]} dimensions, but those of D_{k} have {width}; "
            f"measure all with one feature_model (params.yaml, 'dvc repro')"
        )
    return features
