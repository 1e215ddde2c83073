"""Read a pair of kohya TOMLs back into what the builtin trainer needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import toml

from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json
from pipeline.diffusion.families import TrainParts
from pipeline.diffusion.text import CHUNK
from pipeline.train.config import MIXED_PRECISION
from pipeline.train.training_inputs import Example

_PRECISIONS = {name: precision for precision, name in MIXED_PRECISION.items()}


@dataclass(frozen=True)
class TrainSettings:
    """A training run in plain values; paths are relative to the project's root."""

    model: str
    vae: str | None
    clip_skip: int
    max_token_length: int
    rank: int
    alpha: float
    network_weights: str | None
    train_parts: TrainParts
    min_snr_gamma: float | None
    noise_offset: float
    unet_lr: float
    text_encoder_lr: float
    lr_scheduler: str
    steps: int
    max_grad_norm: float
    seed: int
    precision: str
    cache_latents: bool
    gradient_checkpointing: bool
    batch_size: int
    flip: bool
    caption_dropout: float
    examples: tuple[Example, ...]


def read_settings(train_toml: Path, root: Path) -> TrainSettings:
    """Read train.toml and the dataset.toml and metadata that it names, below `root`.

    Raise UserError for a setting that the builtin trainer cannot follow.
    """
    values: dict[str, Any] = {}
    for section in toml.loads(train_toml.read_text(encoding="utf-8")).values():
        values.update(section)
    dataset = toml.loads((root / values["dataset_config"]).read_text(encoding="utf-8"))["datasets"][0]
    _check_supported(values)
    subset = dataset["subsets"][0]
    return TrainSettings(
        model=values["pretrained_model_name_or_path"],
        vae=values.get("vae"),
        clip_skip=values["clip_skip"],
        max_token_length=values.get("max_token_length", CHUNK),
        rank=values["network_dim"],
        alpha=values["network_alpha"],
        network_weights=values.get("network_weights"),
        train_parts=_train_parts(values),
        min_snr_gamma=values.get("min_snr_gamma"),
        noise_offset=values.get("noise_offset", 0.0),
        unet_lr=values["unet_lr"],
        text_encoder_lr=values["text_encoder_lr"],
        lr_scheduler=values["lr_scheduler"],
        steps=values["max_train_steps"],
        max_grad_norm=values["max_grad_norm"],
        seed=values["seed"],
        precision=_PRECISIONS[values["mixed_precision"]],
        cache_latents=values["cache_latents"],
        gradient_checkpointing=values.get("gradient_checkpointing", False),
        batch_size=dataset["batch_size"],
        flip=subset["flip_aug"],
        caption_dropout=subset["caption_dropout_rate"],
        examples=_examples(dataset["subsets"], root),
    )


def _examples(subsets: list[dict[str, Any]], root: Path) -> tuple[Example, ...]:
    """Return every image as often as its subset repeats it."""
    found: list[Example] = []
    for subset in subsets:
        for name, entry in sorted(read_json(root / subset["metadata_file"]).items()):
            path = (Path(subset["image_dir"]) / name).as_posix()
            found += [Example(path, entry["caption"])] * subset["num_repeats"]
    return tuple(found)


def _train_parts(values: dict[str, Any]) -> TrainParts:
    if values.get("network_train_unet_only"):
        return "unet"
    return "text_encoder" if values.get("network_train_text_encoder_only") else "both"


def _check_supported(values: dict[str, Any]) -> None:
    if values["optimizer_type"] != "AdamW":
        raise UserError(f"the builtin trainer has no {values['optimizer_type']}; set optimizer: AdamW or trainer: kohya")
    if values.get("xformers"):
        raise UserError("the builtin trainer does not use xformers; set attention: sdpa or trainer: kohya in params.yaml")
