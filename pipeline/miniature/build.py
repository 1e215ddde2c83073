"""Build the miniature from nothing: draw, train each part, write models/miniature/ in diffusers layout."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from pipeline.core.json_files import read_json, write_json
from pipeline.core.tensors import save_tensors
from pipeline.diffusion.families.sd1.layout import LAYOUT as SD1
from pipeline.diffusion.noise_schedule import BETA_END, BETA_START
from pipeline.inputs.creatures import CAPTION_FORMS, NARROW_STYLE, caption, distinct_creatures
from pipeline.miniature import PARTS, clip_towers
from pipeline.miniature.classifier import Classifier, train_classifier
from pipeline.miniature.drawings import Drawings, make_drawings
from pipeline.miniature.tokenizer import train_tokenizer
from pipeline.miniature.unet import train_unet
from pipeline.miniature.vae import train_vae

SEED = 0
DRAWINGS = 24_000
NARROW_SHARE = 0.15
"""Share of D_0's style in what towers, VAE and classifier see; the U-Net sees none of it."""

U_NET_SEEDS = {"unet": SEED + 1, "unet_restart": SEED + 2, "unet_restart_2": SEED + 3}
"""The U-Net is trained in three cycles of the learning rate, each on drawings of its own."""

SETTINGS: dict[str, dict[str, Any]] = {
    "towers": {"steps": 1400, "batch": 40, "lr": 1e-3},
    "vae": {"steps": 3600, "batch": 8, "lr": 2e-3},
    "classifier": {"steps": 1500, "batch": 64, "lr": 2e-3},
    "unet": {"steps": 1300, "batch": 64, "lr": 1.5e-3, "horizon": 2200, "cooldown": 600},
    "unet_restart": {"steps": 2400, "batch": 64, "lr": 1e-3, "compiled": True},
    "unet_restart_2": {"steps": 1800, "batch": 64, "lr": 8e-4, "compiled": True},
}
MODEL_INDEX = SD1.published()["model_index"] | {"scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"]}


def build(out: Path, *, scale: float = 1.0, parts: Sequence[str] | None = None) -> None:
    """Train `parts` (all by default, each needs the ones before it) with `scale` times the steps, and write them to `out`.

    Weights are stored in float16; build.json records command, seed, data hash, settings and losses of each part.
    """
    for part in PARTS:
        if parts is None or part in parts:
            settings = scaled(SETTINGS[part], scale)
            narrow_share = 0.0 if part in U_NET_SEEDS else NARROW_SHARE
            data = make_drawings(U_NET_SEEDS.get(part, SEED), DRAWINGS, narrow_share=narrow_share)
            losses = _TRAINERS[part](out, data, settings)
            _record(out, part, data, settings, losses)
    _write_pipeline_files(out)


def scaled(settings: dict[str, Any], scale: float) -> dict[str, Any]:
    """Return the settings with every number of steps multiplied by `scale`, and at least 1."""
    counts = ("steps", "horizon", "cooldown")
    return {name: max(1, round(value * scale)) if name in counts else value for name, value in settings.items()}


def _towers(out: Path, data: Drawings, settings: dict[str, Any]) -> list[float]:
    tokenizer = train_tokenizer(all_captions(), out / "tokenizer")
    clip, losses = clip_towers.train_towers(data, tokenizer, seed=SEED, **settings)
    save_towers(out, clip, tokenizer)
    return losses


def all_captions() -> list[str]:
    """Return a sample of every form of caption in every style, for the tokenizer."""
    creatures = distinct_creatures(SEED, 2000) + distinct_creatures(SEED + 1, 500, style=NARROW_STYLE)
    return [caption(creature, form) for creature in creatures for form in CAPTION_FORMS]


def save_towers(out: Path, clip: CLIPModel, tokenizer: CLIPTokenizer) -> None:
    """Write clip/ (both towers, for the measures) and text_encoder/ (the text tower alone, for diffusion)."""
    clip.half().save_pretrained(out / "clip")
    tokenizer.save_pretrained(out / "clip")
    write_json(out / "clip/preprocessor_config.json", clip_towers.PREPROCESSOR)
    text_encoder = CLIPTextModel(clip.config.text_config)
    text_encoder.text_model.load_state_dict(clip.text_model.state_dict())
    text_encoder.half().save_pretrained(out / "text_encoder")


def _vae(out: Path, data: Drawings, settings: dict[str, Any]) -> list[float]:
    vae, losses = train_vae(data, seed=SEED, **settings)
    vae.half().save_pretrained(out / "vae")
    return losses


def _classifier(out: Path, data: Drawings, settings: dict[str, Any]) -> list[float]:
    classifier, losses = train_classifier(data, seed=SEED, **settings)
    save_tensors(out / "classifier/model.safetensors", classifier.half().state_dict())
    return losses


def _unet(out: Path, data: Drawings, settings: dict[str, Any], start: UNet2DConditionModel | None = None) -> list[float]:
    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(out / "text_encoder").float().eval()
    vae = AutoencoderKL.from_pretrained(out / "vae").float().eval()
    unet, losses = train_unet(data, tokenizer, text_encoder, vae, seed=SEED, start=start, **settings)
    unet.half().save_pretrained(out / "unet")
    return losses


def _unet_restart(out: Path, data: Drawings, settings: dict[str, Any]) -> list[float]:
    """Train the U-Net on from its weights: the learning rate rises and falls once more (warm restart)."""
    return _unet(out, data, settings, UNet2DConditionModel.from_pretrained(out / "unet").float())


_TRAINERS = {
    "towers": _towers,
    "vae": _vae,
    "classifier": _classifier,
    "unet": _unet,
    "unet_restart": _unet_restart,
    "unet_restart_2": _unet_restart,
}


def load_classifier(model: Path) -> Classifier:
    """Load the attribute classifier of a built miniature, in float32."""
    classifier = Classifier()
    classifier.load_state_dict(load_file(model / "classifier/model.safetensors"))
    return classifier.float().eval()


def _record(out: Path, part: str, data: Drawings, settings: dict[str, Any], losses: list[float]) -> None:
    path = out / "build.json"
    new = {"command": "redifine miniature build", "seed": SEED, "parts": {}}
    record: dict[str, Any] = read_json(path) if path.is_file() else new
    record["parts"][part] = settings | {
        "drawings": len(data),
        "data_sha256": data.sha256(),
        "loss_every_50_steps": [round(loss, 6) for loss in losses],
    }
    write_json(path, record)


def _write_pipeline_files(out: Path) -> None:
    EulerAncestralDiscreteScheduler(
        beta_start=BETA_START, beta_end=BETA_END, beta_schedule="scaled_linear", steps_offset=1
    ).save_pretrained(out / "scheduler")
    _strip_versions(out)
    write_json(out / "model_index.json", MODEL_INDEX)


def _strip_versions(out: Path) -> None:
    """Write configs without library versions and source paths, so that a rebuild writes the same bytes."""
    for path in sorted(out.glob("*/*config*.json")):
        config = json.loads(path.read_text())
        for key in ("_name_or_path", "transformers_version", "_diffusers_version"):
            config.pop(key, None)
        write_json(path, config)


def parameter_count(model: Path) -> dict[str, int]:
    """Count the weights in each part of a built miniature."""
    unet = UNet2DConditionModel.from_pretrained(model / "unet")
    vae = AutoencoderKL.from_pretrained(model / "vae")
    clip = CLIPModel.from_pretrained(model / "clip")
    parts = {"unet": unet, "vae": vae, "text tower": clip.text_model, "image tower": clip.vision_model}
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
