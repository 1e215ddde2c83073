"""The images of D_k as rows of a training set."""

from __future__ import annotations

from pipeline.chain.paths import Layout
from pipeline.chain.sets import read_manifest
from pipeline.methods.policies import TrainingImage


def training_images(layout: Layout, k: int) -> list[TrainingImage]:
    """The images of D_k; paths are relative to the project's root. Raise UserError when there are none."""
    folder = layout.images(k).relative_to(layout.root)
    return [
        {
            "path": (folder / row["file"]).as_posix(),
            "prompt_index": row["prompt_index"],
            "image_index": row["image_index"],
            "caption": row["prompt"],
            "k": k,
            "sha256": row["sha256"],
        }
        for row in read_manifest(layout, k)
    ]
