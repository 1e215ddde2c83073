"""One iteration at the paper's size in minutes, put together from measured rates."""

from __future__ import annotations

import pipeline.compat  # noqa: F401  (before transformers)

import numpy as np
import torch
from transformers import Dinov2Config, Dinov2Model

from benchmarks.paper_scale.floors import IMAGES, UPDATES
from benchmarks.paper_scale.scale import Scale, seconds_of
from pipeline.measure.frechet import frechet_distance

_BATCH = 32


def minutes(images_per_second: float, updates_per_second: float, measuring_seconds: float) -> float:
    """16,800 updates, 1000 images and their measures."""
    return (UPDATES / updates_per_second + IMAGES / images_per_second + measuring_seconds) / 60


@torch.inference_mode()
def measuring_seconds(scale: Scale) -> float:
    """DINOv2 ViT-L/14's features of 1000 images at 224x224, and one Frechet distance between two sets of them."""
    config = Dinov2Config(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, image_size=518, patch_size=14)
    model = Dinov2Model(config).eval().to(scale.device)
    pixels = torch.randn(_BATCH if scale.on_gpu else 1, 3, 224, 224, device=scale.device)
    model(pixels)
    features = seconds_of(lambda: model(pixels), scale.device) * IMAGES / len(pixels)
    chance = np.random.default_rng(0)
    one, other = (chance.standard_normal((IMAGES, 1024)) for _ in range(2))
    return features + seconds_of(lambda: frechet_distance(one, other), "cpu")
