"""Policies that build T_k from D_0, D_{k-1} and T_{k-1}: pure functions on lists of records."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from pipeline.core.randomness import derive_seed

TrainingImage = dict[str, Any]
"""One training image: path, prompt_index, image_index, caption, k (the iteration it comes from), sha256."""


def replace(latest: Sequence[TrainingImage]) -> list[TrainingImage]:
    """T_k = D_{k-1}: the Chain of Diffusion itself (section 3.1)."""
    return list(latest)


def mix(latest: Sequence[TrainingImage], real: Sequence[TrainingImage], real_fraction: float, seed: int) -> list[TrainingImage]:
    """D_{k-1} with each image replaced by its own real counterpart with probability `real_fraction` (appendix C.3).

    Whether an image is replaced depends on the seed, its prompt and its index alone, not on the others.
    Raises KeyError when an image's prompt has no real counterpart.
    """
    counterpart = {record["prompt_index"]: record for record in real}
    mixed = []
    for record in latest:
        draw = random.Random(derive_seed("mix", seed, record["prompt_index"], record["image_index"])).random()
        mixed.append(counterpart[record["prompt_index"]] if draw < real_fraction else record)
    return mixed


def accumulate(previous: Sequence[TrainingImage], latest: Sequence[TrainingImage]) -> list[TrainingImage]:
    """T_k = T_{k-1} + D_{k-1}: everything made so far, with D_0 (appendix C.12)."""
    return [*previous, *latest]
