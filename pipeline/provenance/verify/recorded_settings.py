"""Hold what images and LoRAs say of how they were made against the parameters in dvc.lock.

DVC writes the parameters that it finds when a stage has ended; a plain `dvc repro` does not see when they were changed in the
moment before.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image, UnidentifiedImageError

from pipeline.chain.image_sets import Images
from pipeline.core.errors import UserError
from pipeline.core.randomness import derive_seed
from pipeline.provenance.verify.findings import Finding
from pipeline.provenance.verify.records import Records
from pipeline.sample.png import KEY, parse_parameters
from pipeline.versioning.dvc_lock import LOCK_FILE, StageEntry

Verified = Mapping[str, bool]
Said = Iterator[tuple[str, str, str]]
"""Of a stage: (what says otherwise than dvc.lock, what it says, what dvc.lock says)."""

_MODEL = ("model", "vae")


def setting_findings(records: Records, stages: Mapping[str, StageEntry], verified: Verified) -> Iterator[Finding]:
    """Yield a finding for each parameter of dvc.lock that an image, LoRA or base model's own record denies.

    Files that are not what dvc.lock records are other findings, and no witnesses here.
    """
    for name, stage in stages.items():
        kind, _, k = name.partition("@")
        said: Said = iter(())
        if kind == "sample" and k.isdecimal():
            said = _of_images(records, int(k), stage.params, verified)
        elif kind == "train" and k.isdecimal():
            said = _of_lora(records, int(k), stage.params, verified)
        elif kind == "prepare" and records.base and verified.get(records.name(records.layout.base_record())) is not False:
            said = _of_base(records, stage.params)
        for witness, says, recorded in said:
            yield Finding(
                LOCK_FILE,
                "changed",
                f"it says that {name} ran with {recorded}, and {witness} says {says}; "
                f"'redifine repro --force --single-item {name}' makes it again with the parameters as they are now",
            )


def _of_images(records: Records, k: int, params: Mapping[str, Any], verified: Verified) -> Said:
    """Yield each field that an image of D_k has otherwise; the first such image stands for all."""
    expected = _image_fields(records, k, params)
    told: set[str] = set()
    images, folder = Images(records.layout.root), records.name(records.layout.images(k))
    for row in records.manifests.get(k, []):
        path = f"{folder}/{row['file']}"
        if verified.get(path) is False or len(told) == len(expected):
            continue
        with suppress(OSError, ValueError, UnidentifiedImageError, UserError):
            fields = _fields(records.layout.root / path if images.is_file(path) else io.BytesIO(images.read(path)))
            for field, value in expected.items():
                if field not in told and fields.get(field, value) != value:
                    told.add(field)
                    yield path, f"{field}: {fields[field]}", f"{field}: {value}"


def _fields(png: Path | io.BytesIO) -> dict[str, str]:
    """Return what a PNG says of itself before its pixels; nothing for an image that was not drawn here."""
    with Image.open(png) as image:
        text = image.info.get(KEY, "")
    return parse_parameters(text) if isinstance(text, str) else {}


def _image_fields(records: Records, k: int, params: Mapping[str, Any]) -> dict[str, str]:
    """Return those of `ImageLineage.fields` that parameters decide, and the models, as far as dvc.lock has them."""
    expected: dict[str, str] = {"Iteration": str(k)}
    for field, key in (("Steps", "steps"), ("Clip skip", "clip_skip")):
        if key in params:
            expected[field] = str(params[key])
    if "cfg" in params:
        expected["CFG scale"] = f"{params['cfg']:g}"
    if "resolution" in params:
        expected["Size"] = f"{params['resolution']}x{params['resolution']}"
    if params.get("model"):
        expected["Model"] = Path(params["model"]).name
    if "schedule" in params:
        from pipeline.methods.schedules import make_schedule

        with suppress(UserError, AttributeError):  # an extension that is not here
            expected["Schedule"] = make_schedule(SimpleNamespace(**params)).describe()
    if records.base:
        expected["Model sha256"] = records.base["sha256"]
    if k in records.lineages:
        expected["Lora sha256"] = records.lineages[k]["lora_sha256"]
    return expected


def _of_lora(records: Records, k: int, params: Mapping[str, Any], verified: Verified) -> Said:
    """Compare train.toml, dataset.toml and lineage.json of M_k: what the trainer read."""
    layout = records.layout
    train, dataset = (layout.model(k) / name for name in ("train.toml", "dataset.toml"))
    expected = _trainer_settings(params, k, len(records.prompts))
    for path, wanted in ((train, expected), (dataset, _data_settings(params))):
        if verified.get(records.name(path)) is not False and (found := _toml(path)):
            yield from _differences(records.name(path), found, wanted)
    if k in records.lineages and verified.get(records.name(layout.lineage(k))) is not False:
        own = {key: params[key] for key in ("condition_drop", "trainer") if key in params}
        yield from _differences(records.name(layout.lineage(k)), {**dict.fromkeys(own, _UNSAID), **records.lineages[k]}, own)


_UNSAID = object()
"""In the place of what an older record does not tell."""


def _differences(path: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Said:
    for key, value in wanted.items():
        says = found.get(key)
        if says is not _UNSAID and says != value:
            yield path, f"{key}: {_shown(says)}", f"{key}: {_shown(value)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _toml(path: Path) -> dict[str, Any]:
    """Return the keys of all sections of a TOML file for the trainer; none where it cannot be read."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    flat: dict[str, Any] = {}
    for section in found.values():
        for part in section if isinstance(section, list) else [section]:
            if isinstance(part, dict):
                flat |= part
                flat |= next((subset for subset in part.get("subsets", []) if isinstance(subset, dict)), {})
    return flat


def _trainer_settings(params: Mapping[str, Any], k: int, prompts: int) -> dict[str, Any]:
    """Return what `train.config` writes into train.toml for these parameters; None for a key that it leaves out."""
    from pipeline.diffusion.text import CHUNK  # with torch, which hashing needs not
    from pipeline.train.config import MIXED_PRECISION

    get = params.get
    direct = {
        "pretrained_model_name_or_path": "model", "vae": "vae", "clip_skip": "clip_skip", "network_dim": "rank",
        "network_alpha": "alpha", "unet_lr": "unet_lr", "text_encoder_lr": "text_encoder_lr", "lr_scheduler": "lr_scheduler",
        "max_grad_norm": "max_grad_norm", "cache_latents": "cache_latents", "vae_batch_size": "batch_size",
        "min_snr_gamma": "min_snr_gamma",
    }  # fmt: skip
    expected = {key: params[name] for key, name in direct.items() if name in params}
    for key, left_out in (("noise_offset", 0), ("gradient_checkpointing", False)):
        if key in params:
            expected[key] = None if params[key] == left_out else params[key]
    if "max_token_length" in params:
        expected["max_token_length"] = params["max_token_length"] if params["max_token_length"] > CHUNK else None
    if "precision" in params:
        expected["mixed_precision"] = MIXED_PRECISION[params["precision"]]
    if "attention" in params:
        expected |= {name: True if name == params["attention"] else None for name in ("sdpa", "xformers")}
    if "train_parts" in params:
        expected |= {
            f"network_train_{part}_only": True if part == params["train_parts"] else None for part in ("unet", "text_encoder")
        }
    if get("updates"):
        expected["max_train_steps"] = params["updates"]
    elif prompts and {"epochs", "batch_size"} <= params.keys():
        expected["max_train_steps"] = params["epochs"] * -(-prompts // params["batch_size"])
    if "seed" in params:
        expected["seed"] = derive_seed("train", params["seed"], k) % 2**31
    return expected


def _data_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "resolution": "resolution",
        "batch_size": "batch_size",
        "flip_aug": "flip",
        "caption_dropout_rate": "caption_dropout",
    }
    return {key: params[name] for key, name in names.items() if name in params}


def _of_base(records: Records, params: Mapping[str, Any]) -> Said:
    base = records.base or {}
    own = {key: params[key] for key in _MODEL if key in params}
    yield from _differences(records.name(records.layout.base_record()), base, own)
