"""Turn T_k and the parameters into what both trainers read: train.toml, dataset.toml and metadata in sd-scripts' terms."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import toml
from PIL import Image

from pipeline.base.tokenizers import laid_out, lay_out
from pipeline.errors import UserError
from pipeline.guards import image_errors
from pipeline.models import is_xl
from pipeline.params import View
from pipeline.paths import Layout
from pipeline.randomness import derive_seed
from pipeline.storage import read_json, read_jsonl, sha256_file
from pipeline.text import CHUNK, check_clip_skip_xl

_MIXED_PRECISION = {"fp32": "no", "fp16": "fp16", "bf16": "bf16"}
_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "AdamW": {"optimizer_type": "AdamW"},
    "FusedAdamW": {"optimizer_type": "AdamW", "optimizer_args": ["fused=True"]},
    "AdamW8bit": {"optimizer_type": "AdamW8bit"},
}


@dataclass(frozen=True)
class Example:
    """One entry of T_k; `path` is relative to the project's root."""

    path: str
    caption: str


@dataclass(frozen=True)
class Job:
    """What M_k is trained from, apart from the parameters."""

    k: int
    examples: tuple[Example, ...]
    steps: int
    model: str
    vae: str | None
    base_sha256: str
    tokenizer: Path | None
    previous: Path | None
    sdxl: bool


def read_job(params: View, k: int, layout: Layout) -> Job:
    """Collect the inputs of iteration k. Raises UserError when one is missing or an image does not fit."""
    rows = read_jsonl(layout.training_set(k), ("path", "caption"))
    examples = tuple(_example(row) for row in rows)
    if not examples:
        raise UserError(f"{layout.training_set(k)} is empty, so there is nothing to train on; run curate again")
    check_images(examples, layout.root, params.resolution)
    check_hashes({row["path"]: row["sha256"] for row in rows if "sha256" in row}, layout.root)
    base = read_json(layout.base_record(), {"model": str, "sha256": str})
    model = layout.root / base["model"]
    if is_xl(model):
        check_clip_skip_xl(params.clip_skip)
    previous = layout.lora(k - 1) if params.start_from == "previous" and k > 1 else None
    return Job(
        k=k,
        examples=examples,
        steps=params.updates or updates(len(read_jsonl(layout.prompts)), params.batch_size, params.epochs),
        model=base["model"],
        vae=base.get("vae"),
        base_sha256=base["sha256"],
        tokenizer=laid_out(model, layout.scratch) if model.is_dir() else None,
        previous=previous,
        sdxl=is_xl(model),
    )


def updates(prompts: int, batch_size: int, epochs: int) -> int:
    """Optimizer steps: epochs over one image per prompt, however large T_k is (paper, appendix C)."""
    return epochs * -(-prompts // batch_size)


def _example(row: dict[str, Any]) -> Example:
    """A line break becomes a space, as for CLIP's tokenizer: sd-scripts would drop all lines but the first."""
    return Example(path=row["path"], caption=" ".join(row["caption"].splitlines()))


def check_images(examples: tuple[Example, ...], root: Path, resolution: int) -> None:
    """Raise UserError for the first image that is missing, unreadable or not resolution x resolution pixels."""
    for path in {example.path: None for example in examples}:
        try:
            with Image.open(root / path, formats=("PNG",)) as image:
                size = image.size
        except FileNotFoundError as error:
            raise UserError(f"{path} does not exist, but T_k lists it; fetch it with 'dvc checkout'") from error
        except image_errors() as error:
            raise UserError(f"{path} is damaged or no image; restore it with 'dvc checkout'") from error
        if size != (resolution, resolution):
            raise UserError(
                f"{path} has {size[0]}x{size[1]} pixels, but resolution is {resolution} in params.yaml; make it again"
            )


def check_hashes(recorded: dict[str, str], root: Path) -> None:
    """Raise UserError for the first image that is not the one T_k lists: DVC watches D_{k-1} alone, T_k may hold older ones."""
    for path, sha256 in recorded.items():
        if sha256_file(root / path) != sha256:
            raise UserError(f"{path} is not the image that T_k lists (sha256 differs); restore it with 'dvc checkout'")


def train_toml(params: View, job: Job, folder: Path, root: Path, workers: int = 0) -> str:
    """The text of sd-scripts' --config_file; `folder` is where M_k and the other two files are.

    Paths are relative to `root`, which the trainer runs in. sd-scripts accepts unknown keys in silence: a test compares
    these with its parser. With `workers` = 0 the data come from the main process and its one random state, so that the
    order and the flips depend on the seed alone; each worker would flip by its own copy.
    """
    place = _relative(folder, root)
    sections = {
        "model": _model_section(params, job, root),
        "network": _network_section(params, job, root),
        "objective": _objective_section(params),
        "optimizer": {
            **_OPTIMIZERS[params.optimizer],
            "unet_lr": float(params.unet_lr),
            "text_encoder_lr": float(params.text_encoder_lr),
            "lr_scheduler": params.lr_scheduler,
            "max_train_steps": job.steps,
            "max_grad_norm": float(params.max_grad_norm),
            # A seed of its own for each k (below 2**32 for numpy): else all iterations see the same noise.
            "seed": derive_seed("train", params.seed, job.k) % 2**31,
        },
        "running": {
            "mixed_precision": _MIXED_PRECISION[params.precision],
            params.attention: True,
            "cache_latents": params.cache_latents,
            **({"gradient_checkpointing": True} if params.gradient_checkpointing else {}),
            "vae_batch_size": params.batch_size,
            # SDXL's VAE overflows in half precision.
            **({"no_half_vae": True} if job.sdxl else {}),
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


def _model_section(params: View, job: Job, root: Path) -> dict[str, Any]:
    section: dict[str, Any] = {"pretrained_model_name_or_path": job.model, "clip_skip": params.clip_skip}
    if job.vae:
        section["vae"] = job.vae
    if job.tokenizer:
        section["tokenizer_cache_dir"] = _relative(job.tokenizer, root)
    if params.max_token_length > CHUNK:
        section["max_token_length"] = params.max_token_length
    return section


def _network_section(params: View, job: Job, root: Path) -> dict[str, Any]:
    section: dict[str, Any] = {
        "network_module": "networks.lora",
        "network_dim": params.rank,
        "network_alpha": float(params.alpha),
    }
    if job.previous:
        section["network_weights"] = _relative(job.previous, root)
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


def dataset_toml(params: View, job: Job, folder: Path, root: Path) -> str:
    """The text of sd-scripts' --dataset_config: one subset for each number of times that an image occurs in T_k."""
    subsets = [
        {
            "metadata_file": f"{_relative(folder, root)}/{metadata_name(repeats)}",
            "image_dir": ".",
            "num_repeats": repeats,
            "flip_aug": params.flip,
            "caption_dropout_rate": float(params.caption_dropout),
        }
        for repeats in metadata_files(job, params.resolution)
    ]
    dataset = {"resolution": params.resolution, "batch_size": params.batch_size, "enable_bucket": False, "subsets": subsets}
    return _dumps({"datasets": [dataset]})


def metadata_name(repeats: int) -> str:
    return "metadata.json" if repeats == 1 else f"metadata_{repeats}.json"


def metadata_files(job: Job, resolution: int) -> dict[int, dict[str, dict[str, Any]]]:
    """{repeats: {image path: caption and size}}, sd-scripts' "fine tuning" metadata: T_k's images stay where they are.

    The format has one entry per image, so an image that is several times in T_k goes to the file of its count.
    """
    counts = Counter(example.path for example in job.examples)
    files: dict[int, dict[str, dict[str, Any]]] = {repeats: {} for repeats in sorted(set(counts.values()))}
    for example in job.examples:
        entry = {"caption": example.caption, "image_size": [resolution, resolution]}
        if files[counts[example.path]].setdefault(example.path, entry) != entry:
            raise UserError(f"T_k lists {example.path} with two different captions; give each image one caption")
    return files


def texts(params: View, job: Job, folder: Path, root: Path, workers: int = 0) -> dict[str, str]:
    """{file name: content} of everything that a trainer reads, for M_k in `folder`."""
    files = {
        "train.toml": train_toml(params, job, folder, root, workers),
        "dataset.toml": dataset_toml(params, job, folder, root),
    }
    for repeats, metadata in metadata_files(job, params.resolution).items():
        files[metadata_name(repeats)] = json.dumps(metadata, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return files


def copy_tokenizer(job: Job, layout: Layout) -> None:
    """Put the base model's own tokenizers where sd-scripts looks for them, so that it asks no hub and uses no other."""
    if job.tokenizer is not None:
        lay_out(layout.root / job.model, layout.scratch)


def _dumps(values: dict[str, Any]) -> str:
    """TOML that the library which sd-scripts reads it with reads back as `values`; it gets some quoted strings wrong.

    Raises UserError when no way of quoting does it.
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
    """A literal string where there is no apostrophe, else a basic one, whose escapes are JSON's."""
    if "'" not in text and text.isprintable():
        return f"'{text}'" if '"' in text or "\\" in text else f'"{text}"'
    return json.dumps(text, ensure_ascii=False)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
