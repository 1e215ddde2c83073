"""Tell from the configs of a folder of which family its model is, or that it is a VAE, a measuring tower or another model."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.diffusion.families.allow_list import blocks_of_vae_fault, vae_rules
from pipeline.diffusion.families.layout import VAE_SIZES, Config, Configs, FamilyLayout
from pipeline.diffusion.families.layouts import LAYOUTS, NAMES, weighted_parts

_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
_TOWERS = {"blip": "a BLIP", "clip": "a CLIP", "dinov2": "a DINOv2"}
_FILES = {"model_index": "model_index.json", "scheduler": "scheduler/scheduler_config.json", "": "config.json"}
_VAE_RULES = vae_rules([layout.latent_scale for layout in LAYOUTS.values()], "config.json")


@dataclass(frozen=True)
class Architecture:
    """`kind`: a family's key, vae, tower or other; `what`: the same in words; `true_size`: sizes as published, not in small."""

    kind: str
    what: str
    true_size: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders that a whole model of this kind has; ("",) when its files lie in the folder itself."""
        return ("scheduler", *sorted(LAYOUTS[self.kind].parts)) if self.kind in LAYOUTS else ("",)


def recognise(folder: Path, without: Collection[str] = ()) -> Architecture:
    """Return what the model in `folder` is, whatever its parts `without` are.

    Raise UserError when one of its configs cannot be read.
    """
    configs = read_configs(folder, without)
    for layout in LAYOUTS.values():
        if layout.claims(configs):
            return _pipeline(layout, configs)
    alone = configs.get("", {})
    if alone.get("_class_name") == "AutoencoderKL":
        return _autoencoder(alone)
    if alone.get("model_type") in list(_TOWERS):
        return Architecture("tower", _TOWERS[alone["model_type"]])
    name = configs.get("model_index", {}).get("_class_name")
    if name in _PIPELINES:
        return Architecture("other", "a Stable Diffusion without unet/config.json")
    return Architecture("other", f"a {name}" if name else "no model in diffusers layout")


def read_configs(folder: Path, without: Collection[str] = ()) -> Configs:
    """Read the configs that are there. Raise UserError when one cannot be read."""
    names = _FILES | {part: f"{part}/config.json" for part in sorted(weighted_parts())}
    return {part: _config(folder / name) for part, name in names.items() if part not in without and (folder / name).is_file()}


def _config(path: Path) -> Config:
    try:
        # As the libraries read it: diffusers writes -Infinity into the configs of some solvers.
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no mapping")
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}); fetch the model again") from error
    return found


def _autoencoder(config: Config) -> Architecture:
    published = [layout.published()[layout.vae] for layout in LAYOUTS.values()]
    if (channels := config.get("latent_channels", 4)) not in {true["latent_channels"] for true in published}:
        return Architecture("other", f"a VAE of {channels} latent channels")
    if fault := _VAE_RULES.fault(config) or blocks_of_vae_fault(config, "config.json"):
        return Architecture("other", fault.replace("a model", "a VAE", 1))
    true_size = any(all(config.get(key) == true[key] for key in VAE_SIZES) for true in published)
    return Architecture("vae", "a VAE", true_size)


def _pipeline(layout: FamilyLayout, configs: Configs) -> Architecture:
    """Judge a folder of this family, or of a relative that cannot be told apart from its file names."""
    if fault := layout.fault(configs):
        return Architecture("other", fault)
    return Architecture(layout.key, layout.description, layout.has_true_size(configs))


def require_model(folder: Path, name: str) -> Architecture:
    """Return what `folder` holds. Raise UserError when it is a model that a chain cannot use."""
    found = recognise(folder)
    if found.kind == "other":
        raise UserError(f"{name} is {found.what}, and a chain needs {NAMES}; name one of these")
    return found
