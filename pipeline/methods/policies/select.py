"""T_k is chosen by features from a pool of images (arXiv 2509.16499, section 4)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import UserError
from pipeline.core.randomness import derive_seed
from pipeline.methods.policies import Sources, TrainingImage, policy

if TYPE_CHECKING:
    import numpy as np


@policy(
    "select",
    words="a selection of images ({selection}, pool: {pool})",
    reads=("selection", "pool", "selection_threshold", "selection_quantile", "selection_decay"),
)
def select(sources: Sources, params: Any) -> list[TrainingImage]:
    """Return N images out of `params.pool`, N the number of prompts, after those that T_{k-1} passes on (pool accumulate).

    T_1's pool is D_0, which has just N images: all are kept, whatever the rule. Ordered by k, prompt and image.
    Raises UserError when the pool is smaller than N or the features do not fit it.
    """
    import numpy as np

    count = len(sources.images(0))
    passed_on, pool = POOLS[params.pool](sources)
    _check_size(params, sources.k, len(pool), count)
    # One call, so that what is passed on and the pool have the same number of dimensions.
    features = sources.features([*passed_on, *pool])
    rng = np.random.default_rng(derive_seed("select", params.seed, sources.k))
    picks = RULES[params.selection](params, features[len(passed_on) :], count, features[: len(passed_on)], rng)
    return sorted([*passed_on, *(pool[i] for i in picks)], key=lambda row: (row["k"], row["prompt_index"], row["image_index"]))


Pool = tuple[list[TrainingImage], list[TrainingImage]]
"""(what T_k takes over whole, what it chooses from)."""

POOLS: dict[str, Callable[[Sources], Pool]] = {
    # 2N images with images_per_prompt: 2
    "replace": lambda sources: ([], sources.images(sources.k - 1)),
    "accumulate": lambda sources: (sources.previous(), sources.images(sources.k - 1)),
    "accumulate_subsample": lambda sources: ([], [row for j in range(sources.k) for row in sources.images(j)]),
}


def _random(params: Any, features: np.ndarray, count: int, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Look at no feature: it is what the other two have to beat with a pool of the same size."""
    return rng.choice(len(features), count, replace=False)


def _greedy(params: Any, features: np.ndarray, count: int, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from pipeline.methods.selection import greedy

    return greedy(features, count, rng, chosen)


def _threshold_decay(params: Any, features: np.ndarray, count: int, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from pipeline.methods.selection import starting_threshold, threshold_decay

    tau = params.selection_threshold
    if tau is None:
        tau = starting_threshold(features, params.selection_quantile, chosen)
    return threshold_decay(features, count, tau, params.selection_decay, rng, chosen)


RULES = {"greedy": _greedy, "threshold_decay": _threshold_decay, "random": _random}
"""Features [N,d] -> indices [count] of those that are far from one another and from `chosen` [M,d]."""


def _check_size(params: Any, k: int, available: int, count: int) -> None:
    """Refuse a pool that is too small; tell of one that leaves no choice."""
    if available < count:
        raise UserError(
            f"pool {params.pool} (params.yaml) has {available} images for T_{k}, fewer than the {count} prompts; "
            "make the missing images of the earlier iterations ('dvc repro')"
        )
    if available == count:
        advice = "as T_1 always does" if k == 1 else "so nothing is selected; set images_per_prompt to 2 in params.yaml"
        print(f"curate {k}: T_{k} keeps all {count} images of its pool, {advice}", file=sys.stderr)
