"""T_k is D_{k-1} with real images mixed in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from pipeline.core.randomness import derive_seed
from pipeline.methods.policies import Sources, TrainingImage, policy


@policy(
    "mix",
    words="{before}, each replaced by its own real one with probability {real_fraction:g}",
    reads=("real_fraction",),
    inputs=("real",),
)
def mix(sources: Sources, params: Any) -> list[TrainingImage]:
    """Return D_{k-1} with a share of its images replaced by real ones (appendix C.3); D_0 as it is."""
    latest = sources.images(sources.k - 1)
    if sources.k == 1:
        return latest
    return mixed(latest, sources.images(0), params.real_fraction, derive_seed("curate", params.seed, sources.k))


def mixed(
    latest: Sequence[TrainingImage], real: Sequence[TrainingImage], real_fraction: float, seed: int
) -> list[TrainingImage]:
    """Return `latest` with each image replaced by its own real counterpart with probability `real_fraction`.

    Whether an image is replaced depends on the seed, its prompt and its index alone, not on the others.
    Raises KeyError when an image's prompt has no real counterpart.
    """
    counterpart = {record["prompt_index"]: record for record in real}
    chosen = []
    for record in latest:
        draw = random.Random(derive_seed("mix", seed, record["prompt_index"], record["image_index"])).random()
        chosen.append(counterpart[record["prompt_index"]] if draw < real_fraction else record)
    return chosen
