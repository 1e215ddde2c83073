"""Write a chain as the stages would leave it, with drawings that lose their nature over k instead of trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from pipeline.chain.params import Params, View, check
from pipeline.chain.paths import Layout, image_name
from pipeline.core.files import sha256_bytes, write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.core.json_files import read_jsonl, write_json, write_jsonl
from pipeline.core.tensors import save_tensors
from pipeline.inputs.creature_drawing import draw
from pipeline.inputs.creatures import caption, distinct_creatures

STEPS = 12


def parameters(iterations: int, clip: Path | str = "models/miniature/clip", **changes: Any) -> Params:
    """Params of a chain of `iterations`, with `changes` to the defaults."""
    chain = {str(k): {"prev": k - 1} for k in range(1, iterations + 1)}
    return check({"iterations": chain, "clip_model": str(clip), "feature_model": str(clip), "trainer": "builtin", **changes})


def write_chain(root: Path, iterations: int, prompts: int, images_per_prompt: int = 1, size: int = 64) -> Layout:
    """Everything but metrics, analyses and the report, below `root`; T_k is D_{k-1}."""
    layout = Layout(root)
    creatures = distinct_creatures(0, prompts, style="inkpress")
    originals = [np.asarray(Image.fromarray(draw(creature)).resize((size, size))) for creature in creatures]
    captions = [caption(creature) for creature in creatures]
    write_jsonl(layout.prompts, [{"index": i, "name": f"{i:05d}", "prompt": text} for i, text in enumerate(captions)])
    write_json(layout.base_record(), {"files": {}, "model": "models/miniature", "sha256": sha256_bytes(b"base"), "vae": None})
    write_jsonl(layout.training_set(0), [])
    for k in range(iterations + 1):
        write_images(layout, k, originals, captions, images_per_prompt if k else 1)
        if k:
            _write_training_set(layout, k)
            _write_model(layout, k)
            _write_traces(layout, k, prompts * images_per_prompt, size // 8)
    return layout


def write_images(layout: Layout, k: int, originals: list[np.ndarray], captions: list[str], copies: int) -> None:
    rows = []
    for i, (original, text) in enumerate(zip(originals, captions, strict=True)):
        for j in range(copies):
            content = encode_png(degrade(original, k, seed=1000 * i + j))
            write_bytes(layout.images(k) / image_name(i, j), content)
            rows.append({"file": image_name(i, j), "prompt_index": i, "image_index": j, "prompt": text,
                         "seed": 7919 * i + j if k else None, "sha256": sha256_bytes(content)})  # fmt: skip
    write_jsonl(layout.manifest(k), rows)


def _write_training_set(layout: Layout, k: int) -> None:
    rows = [
        {"path": f"data/D_{k - 1}/{row['file']}", "prompt_index": row["prompt_index"], "image_index": row["image_index"],
         "caption": row["prompt"], "k": k - 1, "sha256": row["sha256"]}
        for row in read_jsonl(layout.manifest(k - 1))
    ]  # fmt: skip
    write_jsonl(layout.training_set(k), rows)


def degrade(image: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Sharpen and saturate `k` times: what a chain at a high guidance scale does to pictures."""
    rng = np.random.default_rng((seed, k))
    for _ in range(k):
        picture = Image.fromarray(image).filter(ImageFilter.UnsharpMask(radius=2, percent=90, threshold=0))
        values = np.asarray(picture, dtype=np.float64)
        grey = values.mean(axis=2, keepdims=True)
        noise = rng.normal(0.0, 5.0, (*image.shape[:2], 3))
        image = np.clip(np.rint(grey + 1.18 * (values - grey) + noise), 0, 255).astype(np.uint8)
    return image


def _write_model(layout: Layout, k: int) -> None:
    rng = np.random.default_rng(k)
    steps = 150 + 10 * k
    losses = 0.12 / np.sqrt(1 + np.arange(steps) / 30) * (1 - 0.05 * k) * rng.lognormal(0.0, 0.3, steps)
    write_text(layout.losses(k), "step,loss\n" + "".join(f"{step},{loss:.6f}\n" for step, loss in enumerate(losses, 1)))
    write_bytes(layout.lora(k), f"lora {k}".encode())


def _write_traces(layout: Layout, k: int, images: int, side: int) -> None:
    generator = torch.Generator().manual_seed(k)
    curve = torch.linspace(1.0, 4.0, STEPS) * (1 + 0.15 * k)
    tensors = {
        "diff_norm": curve + 0.1 * torch.randn(images, STEPS, generator=generator),
        "latents": (0.9 + 0.1 * k) * torch.randn(images, 4, side, side, generator=generator),
        "sigmas": torch.linspace(14.6, 0.03, STEPS),
        "scales": torch.full((STEPS,), 7.5),
    }
    save_tensors(layout.traces(k), tensors)


def measure_and_analyse(layout: Layout, params: Params) -> None:
    """Run the two stages for every k."""
    from pipeline.analyse import stage as analyse
    from pipeline.measure import stage as measure

    for k in range(params.last + 1):
        measure.run(View(params, "measure"), k, layout, "cpu")
        analyse.run(View(params, "analyse"), k, layout)
