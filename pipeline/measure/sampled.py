"""Large sets are represented by some of their prompts where neighbours are looked for: every pair would be compared else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.randomness import derive_seed


def drawn_rows(count: int, most: int) -> np.ndarray:
    """Rows [n] of a set of `count`, in order: all, or `most` of them, drawn from a private seed."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(derive_seed("neighbour images", count)).choice(count, most, replace=False))


def of_prompts(prompts: Sequence[int], chosen: Sequence[int]) -> np.ndarray:
    """Places of the images [n] whose prompt index is one of the `chosen`, in order."""
    return np.flatnonzero(np.isin(np.asarray(prompts), np.asarray(chosen)))
