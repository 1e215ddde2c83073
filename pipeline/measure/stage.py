"""Measure D_k against D_0: write features/k.safetensors and metrics/k.json."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.chain.image_sets import batches, read_features, read_manifest
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json, write_json
from pipeline.core.progress import Progress
from pipeline.core.tensors import read_array, save_tensors
from pipeline.measure.features import Clip, load_extractor
from pipeline.measure.sampled import drawn_rows, of_prompts
from pipeline.measure.training import training_features
from pipeline.methods.measures.clip_score import clip_score
from pipeline.methods.measures.collapse import collapse_rate
from pipeline.methods.measures.frechet import frechet_distance, real_floor
from pipeline.methods.measures.memorisation import copy_distance, entropy, generalisation_score
from pipeline.methods.measures.neighbours import precision_recall
from pipeline.methods.measures.power import high_frequency_power, saturation
from pipeline.methods.measures.sfd import sfd

_NUMBER = int | float
_OF_REAL = {"fid_floor": _NUMBER, "power": _NUMBER, "copy_distance": _NUMBER}


class MeasuredImages(NamedTuple):
    """What one pass over N images gives: features [N,d], CLIP embeddings [N,e], and the mean power and saturation."""

    image: np.ndarray
    clip_image: np.ndarray
    power: float
    power_spread: float
    saturation: float
    feature: dict[str, Any]


def run(params: View, k: int, layout: Layout, device: str) -> None:
    """Measure D_0 alone (k = 0) or D_k against D_0, with `params` of STAGE_PARAMS["measure"].

    Raise UserError on a missing, damaged or exchanged image, a model that cannot be loaded, or too few images.
    """
    rows = read_manifest(layout, k)
    if len(rows) <= max(params.neighbours, 3):
        raise UserError(
            f"neighbours is {params.neighbours} (params.yaml), but D_{k} has only {len(rows)} images; "
            f"lower it, or use at least {max(params.neighbours, 3) + 1} prompts"
        )
    clip = Clip(params.clip_model, device)
    observed = _observe(params, k, layout, rows, clip, device)
    if k == 0:
        measure_real(params, layout, rows, observed, clip.embed_text([row["prompt"] for row in rows]))
    else:
        measure_generated(params, k, layout, rows, observed)


def _observe(params: View, k: int, layout: Layout, rows: list[dict[str, Any]], clip: Clip, device: str) -> MeasuredImages:
    """One pass over the images, in batches."""
    shared = (params.features, params.feature_model) == ("clip", params.clip_model)
    extractor = clip if shared else load_extractor(params.features, params.feature_model, device)
    features, embeddings, powers, saturations = [], [], [], []
    with Progress(f"measure {k}", len(rows)) as progress:
        for images in batches(layout, k, rows):
            features.append(extractor(images))
            embeddings.append(clip.project(features[-1] if shared else clip(images)))
            powers += [high_frequency_power(image, params.frequency_cutoff) for image in images]
            saturations += [saturation(image) for image in images]
            progress.advance(len(images))
    feature = {"name": extractor.name, "dimension": extractor.dimension, "preprocessing": extractor.preprocessing}
    return MeasuredImages(
        image=np.concatenate(features),
        clip_image=np.concatenate(embeddings),
        power=float(np.mean(powers)),
        power_spread=float(np.std(powers, ddof=1)),
        saturation=float(np.mean(saturations)),
        feature=feature,
    )


def measure_real(params: View, layout: Layout, rows: list[dict[str, Any]], real: MeasuredImages, text: np.ndarray) -> None:
    floor, half = real_floor(real.image)
    near = real.image[drawn_rows(len(rows), params.neighbour_images)]
    copy = copy_distance(near)
    tensors = {"image": real.image, "clip_image": real.clip_image, "text": text}
    save_tensors(layout.features(0), {name: torch.from_numpy(value) for name, value in tensors.items()})
    write_json(
        layout.metrics(0),
        {
            "k": 0,
            "n": len(rows),
            "fid_floor": floor,
            "fid_floor_n": half,
            "clip_score": clip_score(real.clip_image, text),
            "copy_distance": copy,
            "entropy": entropy(near, copy),
            "power": real.power,
            "power_spread": real.power_spread,
            "saturation": real.saturation,
            "feature": real.feature,
            **_told(len(near), len(rows)),
        },
    )


def measure_generated(params: View, k: int, layout: Layout, rows: list[dict[str, Any]], drawn: MeasuredImages) -> None:
    """Compare with features/0 and metrics/0; FID_1 is carried on from metrics/{k-1}."""
    real_rows, real_metrics = read_manifest(layout, 0), read_json(layout.metrics(0), _OF_REAL)
    real, text = read_features(layout, 0, len(real_rows)), read_array(layout.features(0), "text")
    prompts, real_prompts = _prompt_indices(rows), _prompt_indices(real_rows)
    _check_prompts(k, prompts, real_prompts)
    row_of = {prompt: row for row, prompt in enumerate(real_prompts)}
    if drawn.image.shape[1:] != real.shape[1:]:
        raise UserError(f"{layout.features(0)} is of another feature model; measure D_0 again with 'dvc repro reference'")
    # Measures of a set depend on its size: one image a prompt, as D_0 has, however many there are.
    first = np.flatnonzero([row["image_index"] == 0 for row in rows])
    one_each = drawn.image if len(first) == len(rows) else drawn.image[first]
    fid = frechet_distance(one_each, real)
    fid_1 = fid if k == 1 else read_json(layout.metrics(k - 1), {"fid_1": _NUMBER})["fid_1"]
    chosen = drawn_rows(len(real), params.neighbour_images)
    chosen_prompts = [real_prompts[i] for i in chosen]
    near = one_each[of_prompts([prompts[i] for i in first], chosen_prompts)]
    precision, recall = precision_recall(near, real[chosen], params.neighbours)
    copy = real_metrics["copy_distance"]
    training = training_features(layout, k, drawn.image.shape[1])
    save_tensors(layout.features(k), {"image": torch.from_numpy(drawn.image)})
    write_json(
        layout.metrics(k),
        {
            "k": k,
            "n": len(one_each),
            "images": len(rows),
            "fid": fid,
            "fid_1": fid_1,
            "fid_floor": real_metrics["fid_floor"],
            "collapse_rate": collapse_rate(fid_1, fid, k),
            "precision": precision,
            "recall": recall,
            "clip_score": clip_score(drawn.clip_image, text[[row_of[prompt] for prompt in prompts]]),
            "sfd": sfd(drawn.image, real, prompts, real_prompts),
            "power": drawn.power,
            "power_spread": drawn.power_spread,
            "power_ratio": drawn.power / real_metrics["power"] if real_metrics["power"] > 0 else None,
            "saturation": drawn.saturation,
            "generalisation_score": generalisation_score(drawn.image[of_prompts(prompts, chosen_prompts)], training),
            "entropy": entropy(near, copy),
            "entropy_training": entropy(training[drawn_rows(len(training), params.neighbour_images)], copy),
            "feature": drawn.feature,
            **_told(len(chosen), len(real)),
        },
    )


def _told(used: int, count: int) -> dict[str, int]:
    """What the metrics say where neighbours were looked for among some of the prompts only."""
    return {} if used == count else {"neighbour_images": used}


def _prompt_indices(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["prompt_index"]) for row in rows]


def _check_prompts(k: int, prompts: list[int], real_prompts: list[int]) -> None:
    missing = sorted(set(prompts) - set(real_prompts))
    if missing:
        raise UserError(f"D_{k} has images of prompt {missing[0]}, which D_0 has not; make D_{k} again with 'dvc repro'")
