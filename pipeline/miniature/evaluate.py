"""Evaluate the miniature: measured on held-out captions, shown on a contact sheet."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel

from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes
from pipeline.core.images import encode_png
from pipeline.core.json_files import write_json
from pipeline.core.randomness import image_seed
from pipeline.diffusion.families import DiffusionModel
from pipeline.diffusion.models import load_base
from pipeline.inputs.creatures import ATTRIBUTES
from pipeline.methods.measures.frechet import frechet_distance
from pipeline.methods.schedules.constant import Constant
from pipeline.miniature.build import load_classifier, parameter_count
from pipeline.miniature.classifier import accuracies
from pipeline.miniature.drawings import Drawings, make_drawings, to_unit_range
from pipeline.miniature.vae import decode, encode, psnr
from pipeline.sample.sampler import SampleSettings, draw, encode_prompts

HELD_OUT_SEED = 1_000_003
SCALES = (1.0, 2.5, 7.5)
_SHEET_COLUMNS = 14
_ENLARGED = 2


def evaluate(model: Path, count: int, sheet: Path) -> str:
    """Write evaluation.json beside the weights and the contact sheet to `sheet`; return the figures as text."""
    base = load_base(model)
    for part in ("clip/config.json", "classifier/model.safetensors"):
        if not (model / part).is_file():
            raise UserError(f"{model} has no {part}, so it is no whole miniature; make it with 'redifine miniature build'")
    held_out = make_drawings(HELD_OUT_SEED, count, narrow_share=0.0, full_captions=True)
    other = make_drawings(HELD_OUT_SEED + 1, count, narrow_share=0.0, full_captions=True)
    reconstructed = decode(base.vae, encode(base.vae, held_out.images))
    generated = {scale: generate(base, held_out.captions, scale) for scale in SCALES}
    result = figures(model, held_out, other, reconstructed, generated)
    write_json(model / "evaluation.json", result)
    rows = [held_out.images, reconstructed, *generated.values()]
    write_bytes(sheet, encode_png(contact_sheet(rows)))
    return as_text(result)


def generate(base: DiffusionModel, captions: list[str], scale: float, batch: int = 64) -> torch.Tensor:
    """Draw one image per caption with constant guidance, 30 steps -> [N,3,64,64] uint8."""
    settings = SampleSettings(Constant(scale), steps=30, height=64, width=64)
    conditions = encode_prompts(base, captions, settings)
    empty = encode_prompts(base, [""], settings)
    parts = []
    for start in range(0, len(captions), batch):
        rows = conditions[start : start + batch]
        seeds = [image_seed(HELD_OUT_SEED, 0, start + i) for i in range(len(rows))]
        parts.append(torch.from_numpy(draw(base, rows, empty, seeds, settings).pixels).permute(0, 3, 1, 2))
    return torch.cat(parts)


def figures(
    model: Path, held_out: Drawings, other: Drawings, reconstructed: torch.Tensor, generated: dict[float, torch.Tensor]
) -> dict[str, Any]:
    """Return every figure of merit as plain numbers."""
    classifier = load_classifier(model)
    clip = CLIPModel.from_pretrained(model / "clip").float().eval()
    real = image_features(clip, held_out.images)
    labels = held_out.labels
    accuracy = {"real": accuracies(classifier, held_out.images, labels)}
    accuracy |= {f"cfg {scale}": accuracies(classifier, images, labels) for scale, images in generated.items()}
    accuracy["reconstructed"] = accuracies(classifier, reconstructed, labels)
    accuracy["chance"] = {name: 1 / (len(values) - (name in ("background", "style"))) for name, values in ATTRIBUTES.items()}
    frechet = {f"cfg {scale}": frechet_distance(image_features(clip, images), real) for scale, images in generated.items()}
    frechet["real, other drawings (floor)"] = frechet_distance(image_features(clip, other.images), real)
    return {
        "held_out_prompts": len(held_out),
        "parameters": parameter_count(model),
        "vae_psnr_db": psnr(reconstructed, held_out.images),
        "accuracy": accuracy,
        "frechet_distance": frechet,
    }


@torch.no_grad()
def image_features(clip: CLIPModel, images: torch.Tensor) -> np.ndarray:
    """Return for [N,3,64,64] uint8 the pooled features of the image tower [N,d] float32, as the measures take them."""
    parts = [clip.vision_model(to_unit_range(chunk)).pooler_output for chunk in images.split(128)]
    return torch.cat(parts).numpy()


def contact_sheet(rows: list[torch.Tensor]) -> np.ndarray:
    """Lay rows of images [N,3,64,64] uint8 into one image; the first columns of each row, one prompt a column."""
    lines = [np.concatenate(list(row[:_SHEET_COLUMNS].permute(0, 2, 3, 1).numpy()), axis=1) for row in rows]
    sheet = Image.fromarray(np.concatenate(lines, axis=0))
    return np.asarray(sheet.resize((sheet.width * _ENLARGED, sheet.height * _ENLARGED), Image.Resampling.NEAREST))


def as_text(result: dict[str, Any]) -> str:
    """Format the figures as a table for a terminal."""
    columns = list(result["accuracy"])
    lines = [f"{'accuracy':12}" + "".join(f"{name:>15}" for name in columns)]
    for name in ATTRIBUTES:
        lines.append(f"{name:12}" + "".join(f"{100 * result['accuracy'][column][name]:14.1f}%" for column in columns))
    lines.append(f"VAE reconstruction {result['vae_psnr_db']:.1f} dB")
    lines += [f"Frechet distance, {name}: {value:.2f}" for name, value in result["frechet_distance"].items()]
    return "\n".join(lines)
