"""How far each image has moved from the real image of its own prompt: SFD (eq. 17)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.distances import blocks
from pipeline.methods.measures import MeasuredSets, measure


@measure(
    "sfd",
    title="SFD",
    note="How far an image has moved, in feature space, from the real image of its own prompt",
    better="lower",
    source="eq. 17",
    pages=("compare", "table", "summary", "plots"),
    plot="SFD",
    from_zero=True,
)
def _sfd(sets: MeasuredSets) -> float:
    prompts, real = ([int(row["prompt_index"]) for row in rows] for rows in (sets.rows, sets.real_rows))
    return sfd(sets.features, sets.real, prompts, real)


def sfd(generated: np.ndarray, real: np.ndarray, generated_prompts: Sequence[int], real_prompts: Sequence[int]) -> float:
    """Features [N,d] and [M,d], with the prompt index of each row -> mean_i ||f(x_k,i) - f(x_0,i)||.

    With several images per prompt each is compared with the prompt's one real image.
    Raises ValueError when a generated image's prompt has no real image.
    """
    row_of = {prompt: row for row, prompt in enumerate(real_prompts)}
    missing = sorted(set(generated_prompts) - set(row_of))
    if missing:
        raise ValueError(f"prompts without a real image: {missing[:5]}")
    partners = np.array([row_of[prompt] for prompt in generated_prompts])
    moved = [
        np.linalg.norm(generated[rows].astype(np.float64) - real[partners[rows]], axis=1) for rows in blocks(len(generated))
    ]
    return float(np.concatenate(moved).mean())
