"""How far images in half precision are from float32's, same seeds; and whether a run gives the same bytes twice."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.paper_scale.scale import Scale, compiling
from benchmarks.paper_scale.training import write_project
from pipeline.chain.paths import Layout
from pipeline.methods.schedules.constant import Constant
from pipeline.methods.schedules.exponential import Exponential
from pipeline.sample.sampler import SampleSettings, draw, encode_prompts, load_merged
from pipeline.train.builtin import train
from pipeline.train.settings import read_settings

PROMPTS = [
    "a round red creature with two eyes",
    "a tall green creature with horns, striped",
    "a small blue creature with wings",
]
TOLERANCE_DB = {"fp16": 40.0, "bf16": 35.0}
"""PSNR in the median that half precision must keep; bf16 has three bits less of mantissa."""


def images(model: Path, precision: str, device: str, exponential: bool) -> np.ndarray:
    """Twelve images [12,H,W,3] uint8, at guidance 7.5, constant or falling as ReDiFine's."""
    loaded = load_merged(model, None, None, precision, device)
    side = int(loaded.denoiser.config.sample_size) * loaded.pixels_per_latent
    settings = SampleSettings(Exponential(7.5, 2.0) if exponential else Constant(7.5), 30, side, side)
    prompts = PROMPTS * 4
    conditions, empty = encode_prompts(loaded, prompts, settings), encode_prompts(loaded, [""], settings)
    return draw(loaded, conditions, empty, range(len(prompts)), settings).pixels


def psnr(one: np.ndarray, other: np.ndarray) -> list[float]:
    """Of each image, in dB; 99 where they are equal."""
    errors = np.square(one.astype(np.float64) - other).mean(axis=(1, 2, 3))
    return [99.0 if error == 0 else float(10 * np.log10(255**2 / error)) for error in errors]


def trained_twice(model: Path, scale: Scale, compiled: bool = False) -> bool:
    """Whether two trainings of `scale.updates` updates give the same LoRA, to the bit."""
    with TemporaryDirectory() as folder, compiling(compiled):
        layout = Layout(Path(folder))
        write_project(layout, model, scale, cached=True)
        settings = read_settings(layout.model(1) / "train.toml", layout.root)
        one, other = (train(settings, layout.root, scale.device).weights for _ in range(2))
    return all(torch.equal(one[name].up, other[name].up) and torch.equal(one[name].down, other[name].down) for name in one)


def _verdict(name: str, value: float) -> str:
    """Whether a median keeps the tolerance; nothing for what has none."""
    limit = TOLERANCE_DB.get(name.partition(",")[0])
    if limit is None or "median" not in name:
        return ""
    return f" dB, at least {limit:g}: {'met' if value >= limit else 'NOT met'}"


def compare(model: Path, scale: Scale, at_size: Path | None) -> dict[str, float]:
    """{"bf16, constant guidance, median PSNR": dB, ..., "fp16 twice, equal": 0 or 1}, on a trained model of any size.

    `at_size`, an SD 1.5, is trained twice too, plain and compiled: where attention has thousands of keys, gradients can add up
    in another order each time, and in the miniature they hardly can.
    """
    found: dict[str, float] = {}
    device = scale.device
    halves = ("bf16",) if device == "cpu" else ("fp16", "bf16")
    for exponential in (False, True):
        guidance = "falling" if exponential else "constant"
        exact = images(model, "fp32", device, exponential)
        for precision in halves:
            values = psnr(images(model, precision, device, exponential), exact)
            found[f"{precision}, {guidance} guidance, median PSNR"] = median(values)
            found[f"{precision}, {guidance} guidance, least PSNR"] = min(values)
    for precision in ("fp32", *halves):
        once, again = (images(model, precision, device, False) for _ in range(2))
        found[f"{precision} twice, equal"] = float(np.array_equal(once, again))
    found["training twice, equal"] = float(trained_twice(model, replace(scale, side=64, updates=20)))
    for compiled in (False, True) if at_size else ():
        name = f"training SD 1.5 {'compiled ' if compiled else ''}twice, equal"
        found[name] = float(trained_twice(Path(at_size or ""), replace(scale, updates=5), compiled))
    for name, value in found.items():
        print(f"{name:44} {value:8.2f}{_verdict(name, value)}", flush=True)
    return found
