"""What measures compare: the features of D_k, of one image of each prompt, of D_0 and of T_k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.chain.image_sets import batches, features_of, read_features, read_manifest
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json, read_jsonl
from pipeline.core.randomness import derive_seed
from pipeline.core.tensors import read_array
from pipeline.methods.measures import MeasuredSets

_NUMBER = int | float
_OF_REAL = {"fid_floor": _NUMBER, "power": _NUMBER, "copy_distance": _NUMBER}

Rows = list[dict[str, Any]]


class SeenImages(NamedTuple):
    """What one pass over N images gives: features [N,d], CLIP embeddings [N,e], and the values of each image's own measures."""

    image: np.ndarray
    clip_image: np.ndarray
    of_images: Mapping[str, Sequence[float]]
    feature: dict[str, Any]


def real_sets(
    params: View, layout: Layout, rows: Rows, seen: SeenImages, texts: np.ndarray, found: dict[str, Any]
) -> MeasuredSets:
    """Return what is measured of D_0; `found` is to get the values."""
    near = seen.image[drawn_rows(len(rows), params.neighbour_images)]
    nothing = seen.image[:0]
    return MeasuredSets(
        k=0, params=params, rows=rows, real_rows=rows, features=seen.image, one_each=seen.image, real=seen.image,
        training=nothing, near_features=near, near_one_each=near, near_real=near, near_training=nothing,
        clip_images=seen.clip_image, clip_texts=texts, of_images=seen.of_images, of_real=found, previous={}, found=found,
        images=lambda: (image for batch in batches(layout, 0, rows) for image in batch),
    )  # fmt: skip


def drawn_sets(params: View, k: int, layout: Layout, rows: Rows, seen: SeenImages, found: dict[str, Any]) -> MeasuredSets:
    """Return what is measured of D_k, beside features/0 and metrics/0; `found` is to get the values.

    Raise UserError where D_0 and D_k do not fit each other, or their files or those of T_k are missing or damaged.
    """
    real_rows, of_real = read_manifest(layout, 0), read_json(layout.metrics(0), _OF_REAL)
    real, texts = read_features(layout, 0, len(real_rows)), read_array(layout.features(0), "text")
    prompts, real_prompts = _prompt_indices(rows), _prompt_indices(real_rows)
    if missing := sorted(set(prompts) - set(real_prompts)):
        raise UserError(f"D_{k} has images of prompt {missing[0]}, which D_0 has not; make D_{k} again with 'dvc repro'")
    row_of = {prompt: row for row, prompt in enumerate(real_prompts)}
    if seen.image.shape[1:] != real.shape[1:]:
        raise UserError(f"{layout.features(0)} is of another feature model; measure D_0 again with 'dvc repro reference'")
    # Measures of a set depend on its size: one image a prompt, as D_0 has, however many there are.
    first = np.flatnonzero([row["image_index"] == 0 for row in rows])
    one_each = seen.image if len(first) == len(rows) else seen.image[first]
    chosen = drawn_rows(len(real), params.neighbour_images)
    chosen_prompts = [real_prompts[i] for i in chosen]
    training = training_features(layout, k, seen.image.shape[1])
    return MeasuredSets(
        k=k, params=params, rows=rows, real_rows=real_rows, features=seen.image, one_each=one_each, real=real,
        training=training,
        near_features=seen.image[of_prompts(prompts, chosen_prompts)],
        near_one_each=one_each[of_prompts([prompts[i] for i in first], chosen_prompts)],
        near_real=real[chosen],
        near_training=training[drawn_rows(len(training), params.neighbour_images)],
        clip_images=seen.clip_image,
        clip_texts=texts[[row_of[prompt] for prompt in prompts]],
        of_images=seen.of_images,
        of_real=of_real,
        previous=read_json(layout.metrics(k - 1), {"fid_1": _NUMBER}) if k > 1 else of_real,
        found=found,
        images=lambda: (image for batch in batches(layout, k, rows) for image in batch),
    )  # fmt: skip


def drawn_rows(count: int, most: int) -> np.ndarray:
    """Return rows [n] of a set of `count`, in order: all, or `most` of them, drawn from a private seed.

    Large sets are represented by some of their prompts where neighbours are looked for: every pair would be compared else.
    """
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(derive_seed("neighbour images", count)).choice(count, most, replace=False))


def of_prompts(prompts: Sequence[int], chosen: Sequence[int]) -> np.ndarray:
    """Return the places of the images [n] whose prompt index is one of the `chosen`, in order."""
    return np.flatnonzero(np.isin(np.asarray(prompts), np.asarray(chosen)))


def training_features(layout: Layout, k: int, width: int) -> np.ndarray:
    """Return features of T_k's images in its order, [M,width] float32: each from its own D_j's features/j.safetensors.

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


def _prompt_indices(rows: Rows) -> list[int]:
    return [int(row["prompt_index"]) for row in rows]
