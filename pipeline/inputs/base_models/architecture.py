"""Tell from the configs of a folder which model it is: sd1, sdxl, a VAE, a tower that measures or captions, or another one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.json_files import parse_json

Config = dict[str, Any]

_SHAPES = {
    "sd1": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "sdxl": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
}
_SIZES = {
    "unet": ("block_out_channels", "cross_attention_dim", "attention_head_dim"),
    "text_encoder": ("hidden_size", "num_hidden_layers", "vocab_size"),
    "text_encoder_2": ("hidden_size", "num_hidden_layers", "vocab_size"),
    "vae": ("block_out_channels", "layers_per_block"),
}
_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
_TOWERS = {"blip": "a BLIP", "clip": "a CLIP", "dinov2": "a DINOv2"}


@dataclass(frozen=True)
class Architecture:
    """`kind`: sd1, sdxl, vae, tower or other; `what`: the same in words; `true_size`: sizes as published, not in small."""

    kind: str
    what: str
    true_size: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders that a whole model of this kind has; ("",) when its files lie in the folder itself."""
        second = ("text_encoder_2", "tokenizer_2") if self.kind == "sdxl" else ()
        return ("scheduler", "text_encoder", "tokenizer", "unet", "vae", *second) if self.kind in _SHAPES else ("",)


def published(kind: str) -> dict[str, Config]:
    """{part: config} of Stable Diffusion 1.5 ("sd1") or SDXL ("sdxl") as published, for single-file checkpoints."""
    found: dict[str, Config] = json.loads(
        resources.files("pipeline.inputs.base_models").joinpath(f"{kind}.json").read_text(encoding="utf-8")
    )
    return found


def recognise(folder: Path) -> Architecture:
    """What the model in `folder` is. Raise UserError when one of its configs cannot be read."""
    configs = {part: _config(folder / part) for part in ("", "unet", "text_encoder", "text_encoder_2", "vae", "scheduler")}
    if configs["unet"]:
        return _pipeline(configs)
    alone = configs[""]
    if alone.get("_class_name") == "AutoencoderKL":
        return _autoencoder(alone)
    if alone.get("model_type") in _TOWERS:
        return Architecture("tower", _TOWERS[alone["model_type"]])
    name = _config(folder, "model_index.json").get("_class_name")
    if name in _PIPELINES:
        return Architecture("other", "a Stable Diffusion without unet/config.json")
    return Architecture("other", f"a {name}" if name else "no model in diffusers layout")


def _config(folder: Path, name: str | None = None) -> Config:
    path = folder / (name or ("scheduler_config.json" if folder.name == "scheduler" else "config.json"))
    if not path.is_file():
        return {}
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}); fetch the model again") from error
    return found if isinstance(found, dict) else {}


def _autoencoder(config: Config) -> Architecture:
    if (channels := config.get("latent_channels", 4)) != 4:
        return Architecture("other", f"a VAE of {channels} latent channels")
    return Architecture("vae", "a VAE", _has_sizes(config, published("sd1")["vae"], _SIZES["vae"]))


def _pipeline(configs: Mapping[str, Config]) -> Architecture:
    """A folder with a U-Net: Stable Diffusion 1.x, XL, or a relative that cannot be told apart from its file names."""
    fault = _fault(configs)
    if fault:
        return Architecture("other", fault)
    kind = "sdxl" if configs["unet"].get("addition_embed_type") == "text_time" else "sd1"
    true = published(kind)
    size = all(_has_sizes(configs[part], true[part], keys) for part, keys in _SIZES.items() if part in true)
    return Architecture(kind, "Stable Diffusion XL" if kind == "sdxl" else "Stable Diffusion 1.x", size)


def _fault(configs: Mapping[str, Config]) -> str | None:
    """Why a U-Net's folder is neither Stable Diffusion 1.x nor XL as a chain can run them; None when it is."""
    unet, text = configs["unet"], configs["text_encoder"]
    extended = unet.get("addition_embed_type") == "text_time"
    prediction = configs["scheduler"].get("prediction_type", "epsilon")
    if (channels := unet.get("in_channels", 4)) != 4:
        return f"a model that takes {channels} channels (inpainting or depth), not a text-to-image model"
    if prediction != "epsilon":
        return f"a model whose prediction type is {prediction}, not epsilon"
    if unet.get("time_cond_proj_dim"):
        return "a distilled model whose guidance is built in (LCM)"
    if extended and not text:
        return "SDXL's refiner" if configs["text_encoder_2"] else "an SDXL without text_encoder"
    if not extended and unet.get("use_linear_projection"):
        return "Stable Diffusion 2"
    if unet.get("down_block_types", _SHAPES["sd1"]) != _SHAPES["sdxl" if extended else "sd1"]:
        return f"a U-Net of other blocks ({', '.join(map(str, unet['down_block_types']))})"
    wide, context = text.get("hidden_size"), unet.get("cross_attention_dim")
    if not extended and None not in (wide, context) and wide != context:
        return f"a U-Net for text {context} wide beside a text encoder {wide} wide"
    return None


def _has_sizes(config: Config, published: Config, keys: tuple[str, ...]) -> bool:
    return all(config.get(key) == published[key] for key in keys)


def require_model(folder: Path, name: str) -> Architecture:
    """What `folder` holds. Raise UserError when it is a model that a chain cannot use."""
    found = recognise(folder)
    if found.kind == "other":
        raise UserError(f"{name} is {found.what}, and a chain needs Stable Diffusion 1.x or SDXL; name one of these")
    return found
