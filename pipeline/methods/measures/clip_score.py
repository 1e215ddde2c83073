"""How well images show their prompts: the CLIP score (Hessel et al. 2021, without the 2.5 and on a scale of 100)."""

from __future__ import annotations

import numpy as np

from pipeline.core.distances import blocks
from pipeline.methods.measures import MeasuredSets, measure


@measure(
    "clip_score",
    title="CLIP score",
    note="How well images show their prompts, at most 100",
    better="higher",
    source="100 times the cosine of image and prompt in CLIP, 0 where it is negative; Hessel et al. 2021",
    sets="both",
    pages=("compare", "table", "summary", "plots"),
)
def _clip_score(sets: MeasuredSets) -> float:
    return clip_score(sets.clip_images, sets.clip_texts)


def clip_score(images: np.ndarray, prompts: np.ndarray) -> float:
    """Embeddings [N,e] of images and of the prompt of each [N,e] -> mean of 100 max(0, cosine), 0..100.

    Raises ValueError when the shapes differ.
    """
    if images.shape != prompts.shape:
        raise ValueError(f"every image needs its prompt's embedding, got {images.shape} and {prompts.shape}")
    cosines = [(_unit(images[rows]) * _unit(prompts[rows])).sum(axis=1) for rows in blocks(len(images))]
    return float(100.0 * np.maximum(np.concatenate(cosines), 0.0).mean())


def _unit(vectors: np.ndarray) -> np.ndarray:
    values = vectors.astype(np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
