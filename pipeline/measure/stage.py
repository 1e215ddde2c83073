"""Measure D_k against D_0: write features/k.safetensors and metrics/k.json."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from pipeline.chain.image_sets import batches, read_manifest
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.guards import short_repr
from pipeline.core.json_files import write_json
from pipeline.core.progress import Progress
from pipeline.core.tensors import save_tensors
from pipeline.measure.features import Clip, load_extractor
from pipeline.measure.sets import Rows, SeenImages, drawn_sets, real_sets
from pipeline.methods.measures import MEASURES, MeasuredSets
from pipeline.methods.registry import call


def run(params: View, k: int, layout: Layout, device: str) -> None:
    """Measure D_0 alone (k = 0) or D_k against D_0, with `params` of STAGE_PARAMS["measure"].

    Raise UserError on a missing, damaged or exchanged image, a model that cannot be loaded, too few images, or a measure of
    the project's own that fails.
    """
    rows = read_manifest(layout, k)
    if len(rows) <= max(params.neighbours, 3):
        raise UserError(
            f"neighbours is {params.neighbours} (params.yaml), but D_{k} has only {len(rows)} images; "
            f"lower it, or use at least {max(params.neighbours, 3) + 1} prompts"
        )
    clip = Clip(params.clip_model, device)
    seen = _see(params, k, layout, rows, clip, device)
    if k == 0:
        measure_real(params, layout, rows, seen, clip.embed_text([row["prompt"] for row in rows]))
    else:
        measure_drawn(params, k, layout, rows, seen)


def _see(params: View, k: int, layout: Layout, rows: Rows, clip: Clip, device: str) -> SeenImages:
    """One pass over the images, in batches."""
    shared = (params.features, params.feature_model) == ("clip", params.clip_model)
    extractor = clip if shared else load_extractor(params.features, params.feature_model, device)
    own = {key: measure.of_image for key, measure in MEASURES.items() if measure.of_image is not None and measure.of(k)}
    of_images: dict[str, list[float]] = {key: [] for key in own}
    features, embeddings = [], []
    with Progress(f"measure {k}", len(rows)) as progress:
        for images in batches(layout, k, rows):
            features.append(extractor(images))
            embeddings.append(clip.project(features[-1] if shared else clip(images)))
            for key, of_image in own.items():
                of_images[key] += [call(of_image, image, params) for image in images]
            progress.advance(len(images))
    feature = {"name": extractor.name, "dimension": extractor.dimension, "preprocessing": extractor.preprocessing}
    return SeenImages(np.concatenate(features), np.concatenate(embeddings), of_images, feature)


def measure_real(params: View, layout: Layout, rows: Rows, seen: SeenImages, texts: np.ndarray) -> None:
    """Write features/0 and metrics/0."""
    found: dict[str, Any] = {"k": 0, "n": len(rows), "feature": seen.feature}
    sets = real_sets(params, layout, rows, seen, texts, found)
    _compute(sets, found)
    tensors = {"image": seen.image, "clip_image": seen.clip_image, "text": texts}
    save_tensors(layout.features(0), {name: torch.from_numpy(value) for name, value in tensors.items()})
    write_json(layout.metrics(0), found)


def measure_drawn(params: View, k: int, layout: Layout, rows: Rows, seen: SeenImages) -> None:
    """Write features/k and metrics/k, k >= 1; FID_1 is carried on from metrics/{k-1}."""
    found: dict[str, Any] = {"k": k, "images": len(rows), "feature": seen.feature}
    sets = drawn_sets(params, k, layout, rows, seen, found)
    found["n"] = len(sets.one_each)
    _compute(sets, found)
    save_tensors(layout.features(k), {"image": torch.from_numpy(seen.image)})
    write_json(layout.metrics(k), found)


def _compute(sets: MeasuredSets, found: dict[str, Any]) -> None:
    """Put the value of each measure into `found`, in the order in which they are registered."""
    if len(sets.near_real) < len(sets.real):
        found["neighbour_images"] = len(sets.near_real)
    for key, measure in MEASURES.items():
        if measure.compute is not None and measure.of(sets.k):
            found[key] = _number(key, call(measure.compute, sets))


def _number(key: str, value: Any) -> int | float | None:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise UserError(f"the measure {key!r} must return a finite number, or None where there is none, got {short_repr(value)}")
