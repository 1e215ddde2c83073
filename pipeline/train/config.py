"""Turn T_k and the parameters into what both trainers read: train.toml, dataset.toml and metadata in sd-scripts' terms."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import toml

from pipeline.chain.params import View
from pipeline.core.errors import UserError
from pipeline.core.randomness import derive_seed
from pipeline.diffusion.families import FAMILIES
from pipeline.diffusion.text import CHUNK
from pipeline.train.training_inputs import TrainingInputs

MIXED_PRECISION = {"fp32": "no", "fp16": "fp16", "bf16": "bf16"}
_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "AdamW": {"optimizer_type": "AdamW"},
    "FusedAdamW": {"optimizer_type": "AdamW", "optimizer_args": ["fused=True"]},
    "AdamW8bit": {"optimizer_type": "AdamW8bit"},
}


def train_toml(params: View, inputs: TrainingInputs, folder: Path, root: Path, workers: int = 0) -> str:
    """Return the text of sd-scripts' --config_file; `folder` is where M_k and the other two files are.

    Paths are relative to `root`, which the trainer runs in. sd-scripts accepts unknown keys in silence: a test compares
    these with its parser. With `workers` = 0 the data come from the main process and its one random state, so that the
    order and the flips depend on the seed alone; each worker would flip by its own copy.
    """
    place = _relative(folder, root)
    sections = {
        "model": _model_section(params, inputs, root),
        "network": _network_section(params, inputs, root),
        "objective": _objective_section(params),
        "optimizer": {
            **_OPTIMIZERS[params.optimizer],
            "unet_lr": float(params.unet_lr),
            "text_encoder_lr": float(params.text_encoder_lr),
            "lr_scheduler": params.lr_scheduler,
            "max_train_steps": inputs.steps,
            "max_grad_norm": float(params.max_grad_norm),
            # A seed of its own for each k (below 2**32 for numpy): else all iterations see the same noise.
            "seed": derive_seed("train", params.seed, inputs.k) % 2**31,
        },
        "running": {
            "mixed_precision": MIXED_PRECISION[params.precision],
            params.attention: True,
            "cache_latents": params.cache_latents,
            **({"gradient_checkpointing": True} if params.gradient_checkpointing else {}),
            "vae_batch_size": params.batch_size,
            **FAMILIES[inputs.family].sd_scripts_settings,
            "max_data_loader_n_workers": workers,
            "persistent_data_loader_workers": workers > 0,
        },
        "files": {
            "dataset_config": f"{place}/dataset.toml",
            "output_dir": place,
            "output_name": "lora",
            "save_model_as": "safetensors",
            "save_precision": "float",
            "no_metadata": True,
        },
    }
    return _dumps(sections)


def _model_section(params: View, inputs: TrainingInputs, root: Path) -> dict[str, Any]:
    section: dict[str, Any] = {"pretrained_model_name_or_path": inputs.model, "clip_skip": params.clip_skip}
    if inputs.vae:
        section["vae"] = inputs.vae
    if inputs.tokenizer:
        section["tokenizer_cache_dir"] = _relative(inputs.tokenizer, root)
    if params.max_token_length > CHUNK:
        section["max_token_length"] = params.max_token_length
    return section


def _network_section(params: View, inputs: TrainingInputs, root: Path) -> dict[str, Any]:
    section: dict[str, Any] = {
        "network_module": FAMILIES[inputs.family].network_module,
        "network_dim": params.rank,
        "network_alpha": float(params.alpha),
    }
    if inputs.previous:
        section["network_weights"] = _relative(inputs.previous, root)
    if params.train_parts != "both":
        section[f"network_train_{params.train_parts}_only"] = True
    return section


def _objective_section(params: View) -> dict[str, Any]:
    section: dict[str, Any] = {"loss_type": "l2"}
    if params.min_snr_gamma is not None:
        section["min_snr_gamma"] = float(params.min_snr_gamma)
    if params.noise_offset:
        section["noise_offset"] = float(params.noise_offset)
    return section


def dataset_toml(params: View, inputs: TrainingInputs, folder: Path, root: Path) -> str:
    """Return the text of sd-scripts' --dataset_config: one subset for each number of times that an image occurs in T_k."""
    subsets = [
        {
            "metadata_file": f"{_relative(folder, root)}/{metadata_name(repeats)}",
            "image_dir": inputs.images,
            "num_repeats": repeats,
            "flip_aug": params.flip,
            "caption_dropout_rate": float(params.caption_dropout),
        }
        for repeats in metadata_files(inputs, params.resolution)
    ]
    dataset = {"resolution": params.resolution, "batch_size": params.batch_size, "enable_bucket": False, "subsets": subsets}
    return _dumps({"datasets": [dataset]})


def metadata_name(repeats: int) -> str:
    return "metadata.json" if repeats == 1 else f"metadata_{repeats}.json"


def metadata_files(inputs: TrainingInputs, resolution: int) -> dict[int, dict[str, dict[str, Any]]]:
    """Return {repeats: {image path: caption and size}}, sd-scripts' "fine tuning" metadata: T_k's images stay where they are.

    The format has one entry per image, so an image that is several times in T_k goes to the file of its count.
    """
    counts = Counter(example.path for example in inputs.examples)
    files: dict[int, dict[str, dict[str, Any]]] = {repeats: {} for repeats in sorted(set(counts.values()))}
    for example in inputs.examples:
        entry = {"caption": example.caption, "image_size": [resolution, resolution]}
        if files[counts[example.path]].setdefault(example.path, entry) != entry:
            raise UserError(f"T_k lists {example.path} with two different captions; give each image one caption")
    return files


def texts(params: View, inputs: TrainingInputs, folder: Path, root: Path, workers: int = 0) -> dict[str, str]:
    """Return {file name: content} of everything that a trainer reads, for M_k in `folder`."""
    files = {
        "train.toml": train_toml(params, inputs, folder, root, workers),
        "dataset.toml": dataset_toml(params, inputs, folder, root),
    }
    for repeats, metadata in metadata_files(inputs, params.resolution).items():
        files[metadata_name(repeats)] = json.dumps(metadata, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return files


def _dumps(values: dict[str, Any]) -> str:
    """Return TOML that the library which sd-scripts reads it with reads back as `values`; it gets some quoted strings wrong.

    Raise UserError when no way of quoting does it.
    """
    encoder = toml.TomlEncoder()
    encoder.dump_funcs[str] = _quoted
    text = toml.dumps(values, encoder=encoder)
    with suppress(toml.TomlDecodeError, IndexError, ValueError):
        if toml.loads(text) == values:
            return text
    names = [value for value in values.get("model", {}).values() if isinstance(value, str)]
    raise UserError(f"sd-scripts cannot read one of the names {', '.join(map(repr, names))}; rename the folder")


def _quoted(text: str) -> str:
    """Return a literal string where there is no apostrophe, else a basic one, whose escapes are JSON's."""
    if "'" not in text and text.isprintable():
        return f"'{text}'" if '"' in text or "\\" in text else f'"{text}"'
    return json.dumps(text, ensure_ascii=False)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
