"""Policy `select`: T_k chosen by features from a pool of images (arXiv 2509.16499, section 4)."""

from __future__ import annotations

import sys

import numpy as np

from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.chain.sets import features_of, identity
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl
from pipeline.core.randomness import derive_seed
from pipeline.curate.records import training_images
from pipeline.curate.selection import greedy, starting_threshold, threshold_decay
from pipeline.methods.policies import TrainingImage


def select(params: View, k: int, layout: Layout) -> list[TrainingImage]:
    """N images out of `params.pool`, N the number of prompts, after those that T_{k-1} passes on (pool accumulate).

    T_1's pool is D_0, which has just N images: all are kept, whatever the rule. Ordered by k, prompt and image.
    Raise UserError when the pool is smaller than N or the features do not fit it.
    """
    count = len(training_images(layout, 0))
    passed_on, pool = split(params.pool, k, layout)
    _check_size(params, k, len(pool), count)
    # One call, so that what is passed on and the pool have the same number of dimensions.
    features = features_of(layout, [*passed_on, *pool])
    chosen, candidates = features[: len(passed_on)], features[len(passed_on) :]
    picks = pick(params, k, candidates, count, chosen)
    return sorted([*passed_on, *(pool[i] for i in picks)], key=identity)


def split(pool: str, k: int, layout: Layout) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """(what T_k takes over whole, what it chooses from).

    replace: nothing, D_{k-1} (2N images with images_per_prompt: 2); accumulate: T_{k-1}, D_{k-1};
    accumulate_subsample: nothing, D_0..D_{k-1}.
    """
    if pool == "accumulate_subsample":
        return [], [row for j in range(k) for row in training_images(layout, j)]
    latest = training_images(layout, k - 1)
    if pool == "accumulate":
        needed = ("path", "prompt_index", "image_index", "caption", "k", "sha256")
        return read_jsonl(layout.training_set(k - 1), needed), latest
    return [], latest


def pick(params: View, k: int, features: np.ndarray, count: int, chosen: np.ndarray) -> np.ndarray:
    """[N,d] -> indices [count] by the rule `params.selection`, far also from `chosen` [M,d].

    "random" looks at no feature: it is what the other two have to beat with a pool of the same size.
    """
    rng = np.random.default_rng(derive_seed("select", params.seed, k))
    if params.selection == "random":
        return rng.choice(len(features), count, replace=False)
    if params.selection == "greedy":
        return greedy(features, count, rng, chosen)
    tau = params.selection_threshold
    if tau is None:
        tau = starting_threshold(features, params.selection_quantile, chosen)
    return threshold_decay(features, count, tau, params.selection_decay, rng, chosen)


def _check_size(params: View, k: int, available: int, count: int) -> None:
    """Refuse a pool that is too small; tell of one that leaves no choice."""
    if available < count:
        raise UserError(
            f"pool {params.pool} (params.yaml) has {available} images for T_{k}, fewer than the {count} prompts; "
            "make the missing images of the earlier iterations ('dvc repro')"
        )
    if available == count:
        advice = "as T_1 always does" if k == 1 else "so nothing is selected; set images_per_prompt to 2 in params.yaml"
        print(f"curate {k}: T_{k} keeps all {count} images of its pool, {advice}", file=sys.stderr)
