"""Write T_k as a list of image files with their captions and hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.chain.image_sets import features_of, read_manifest
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import is_valid_field, read_jsonl, write_jsonl
from pipeline.methods.policies import POLICIES, TrainingImage
from pipeline.methods.registry import call

if TYPE_CHECKING:
    import numpy as np

KEYS = ("path", "prompt_index", "image_index", "caption", "k", "sha256")
"""What a row of a training set has."""


def run(params: View, k: int, layout: Layout) -> None:
    """Build T_k from D_0..D_{k-1}, T_{k-1} and their features by the policy `training_set`.

    Raise UserError when an input is missing or does not fit the others, or the policy fails.
    """
    rows = call(POLICIES.named(params.training_set).choose, ChainSoFar(layout, k), params)
    if not rows or not all(isinstance(row, dict) and all(is_valid_field(key, row.get(key)) for key in KEYS) for row in rows):
        raise UserError(
            f"the training_set {params.training_set!r} must return a list of one or more images of the sets that it is given"
        )
    write_jsonl(layout.training_set(k), rows)


@dataclass(frozen=True)
class ChainSoFar:
    """What T_k can be chosen from, as `methods.policies.Sources` says. All raise UserError for what is missing or damaged."""

    layout: Layout
    k: int

    def images(self, j: int) -> list[TrainingImage]:
        """Return the images of D_j; paths are relative to the project's root."""
        folder = self.layout.images(j).relative_to(self.layout.root)
        return [
            {
                "path": (folder / row["file"]).as_posix(),
                "prompt_index": row["prompt_index"],
                "image_index": row["image_index"],
                "caption": row["prompt"],
                "k": j,
                "sha256": row["sha256"],
            }
            for row in read_manifest(self.layout, j)
        ]

    def previous(self) -> list[TrainingImage]:
        return read_jsonl(self.layout.training_set(self.k - 1), KEYS)

    def features(self, images: Sequence[TrainingImage]) -> np.ndarray:
        return features_of(self.layout, images)
