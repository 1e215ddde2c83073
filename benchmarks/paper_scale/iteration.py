"""One iteration at the paper's size in minutes, put together from measured rates."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

from benchmarks.paper_scale.floors import IMAGES, UPDATES
from benchmarks.paper_scale.scale import Scale, seconds_of
from pipeline.core.images import decode_image, encode_png
from pipeline.measure.features import _for_dinov2
from pipeline.methods.measures.frechet import frechet_distance
from pipeline.methods.measures.power import high_frequency_power
from pipeline.methods.measures.saturation import saturation

_BATCH = 32
_DINOV2_L = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 518, "patch_size": 14}
_CLIP_L = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 224, "patch_size": 14,
           "intermediate_size": 4096}  # fmt: skip


def minutes(images_per_second: float, updates_per_second: float, measuring_seconds: float) -> float:
    """16,800 updates, 1000 images and their measures."""
    return (UPDATES / updates_per_second + IMAGES / images_per_second + measuring_seconds) / 60


@torch.inference_mode()
def measuring_seconds(scale: Scale) -> float:
    """1000 PNGs of 512x512 read, and resized for both towers, DINOv2's and CLIP's, both ViT-L/14 at 224x224; high-frequency
    power and saturation; one Frechet distance between two sets of features.
    """
    towers: list[torch.nn.Module] = [Dinov2Model(Dinov2Config(**_DINOV2_L)), CLIPVisionModel(CLIPVisionConfig(**_CLIP_L))]
    pixels = torch.randn(_BATCH if scale.on_gpu else 1, 3, 224, 224, device=scale.device)
    features = 0.0
    for tower in towers:
        run = partial(tower.eval().to(scale.device), pixels)
        run()
        features += seconds_of(run, scale.device) * IMAGES / len(pixels)
    chance = np.random.default_rng(0)
    png = encode_png(chance.integers(0, 256, (512, 512, 3), dtype=np.uint8))
    reading = seconds_of(lambda: _read([png] * _BATCH), "cpu") * IMAGES / _BATCH
    one, other = (chance.standard_normal((IMAGES, 1024)) for _ in range(2))
    return features + reading + seconds_of(lambda: frechet_distance(one, other), "cpu")


def _read(pngs: Sequence[bytes]) -> None:
    for png in pngs:
        pixels = decode_image(png, Path("noise.png"))
        for _ in range(2):
            _for_dinov2(pixels)
        high_frequency_power(pixels)
        saturation(pixels)
