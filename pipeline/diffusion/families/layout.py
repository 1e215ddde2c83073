"""What the folder of a model in diffusers layout holds, and how a family is recognised; imports no model code."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from pipeline.diffusion.families.allow_list import SCHEDULER_RULES, UNET_DEFAULTS, blocks_of_vae_fault
from pipeline.diffusion.families.part_rules import PartRules, shown

VOCABULARY, MERGES = "vocab.json", "merges.txt"
"""What CLIPTokenizer and sd-scripts read of a tokenizer."""
FAST = "tokenizer.json"
"""The same in one file, which `redifine base fetch` takes apart."""

Config = dict[str, Any]
Configs = Mapping[str, Config]
"""{part: its config}, without the parts that are not there; "" is the folder's own config.json, model_index its index."""

_UNET_SIZES = ("block_out_channels", "cross_attention_dim", "attention_head_dim")
_TEXT_SIZES = ("hidden_size", "num_hidden_layers", "vocab_size")
VAE_SIZES = ("block_out_channels", "layers_per_block")
"""Keys of a config that say how large the part is."""


@dataclass(frozen=True)
class FamilyLayout:
    """The parts of a family's models; functions get the configs of a folder."""

    key: str
    """In records and options."""
    name: str
    """As messages say."""
    description: str
    """As listings say."""
    tokenizers: Mapping[str, str]
    """{part: folder in which sd-scripts looks for it below tokenizer_cache_dir (a hub id, / as _)}."""
    text_encoders: tuple[str, ...]
    lora_encoders: Mapping[str, str]
    """{how its layers' names begin in kohya's LoRA files: text encoder}."""
    own_parts: tuple[str, ...]
    """What it has beside the parts of the families before it; none in the first."""
    claims: Callable[[Configs], bool]
    """Whether the folder holds this family, or a relative that cannot be told apart from its file names."""
    fault: Callable[[Configs], str | None]
    """Which relative it is that a chain cannot run; None when it can."""
    latent_scale: float
    """Latents are multiplied by it before diffusion, in sd-scripts whatever the VAE's config says, and so here."""
    pad_tokens: Mapping[str, int] = field(default_factory=dict)
    """{tokenizer: id of what fills a prompt up}, where sd-scripts sets it whatever the tokenizer's files say."""
    denoiser: str = "unet"
    vae: str = "vae"
    package: str = field(kw_only=True)

    @property
    def weighted_parts(self) -> tuple[str, ...]:
        return (*self.text_encoders, self.denoiser, self.vae)

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders that M_0 is made of: those that every family has first."""
        every = (*self.tokenizers, *self.text_encoders, self.vae, self.denoiser)
        return (*(part for part in every if part not in self.own_parts), *self.own_parts)

    def published(self) -> dict[str, Config]:
        """Return {part: config} of the family as published, for single-file checkpoints and true sizes."""
        found: dict[str, Config] = json.loads(resources.files(self.package).joinpath("published.json").read_text("utf-8"))
        return found

    def has_true_size(self, configs: Configs) -> bool:
        true = self.published()
        sizes = {self.denoiser: _UNET_SIZES, self.vae: VAE_SIZES, **dict.fromkeys(self.text_encoders, _TEXT_SIZES)}
        return all(configs.get(part, {}).get(key) == true[part][key] for part, keys in sizes.items() for key in keys)


def relative_fault(configs: Configs) -> str | None:
    """Name the well-known relative that a U-Net or its scheduler makes of a model; None when it is none."""
    unet, scheduler = configs.get("unet", {}), configs.get("scheduler", {})
    prediction = scheduler.get("prediction_type", "epsilon")
    if (channels := unet.get("in_channels", 4)) != 4:
        return f"a model that takes {channels} channels (inpainting or depth), not a text-to-image model"
    if prediction != "epsilon":
        return f"a model whose prediction type is {prediction}, not epsilon"
    if scheduler.get("predict_epsilon") is False:
        return "a model that predicts the image itself (predict_epsilon: false in its scheduler)"
    if scheduler.get("rescale_betas_zero_snr"):
        return "a model of zero terminal SNR"
    if unet.get("time_cond_proj_dim") or scheduler.get("_class_name") in ("LCMScheduler", "TCDScheduler"):
        return "a distilled model whose guidance is built in (LCM)"
    if str(scheduler.get("_class_name")).startswith(("EDM", "FlowMatch")):
        return f"a model of another noise ({scheduler['_class_name']})"
    return None


def blocks_fault(unet: Config, blocks: list[str]) -> str | None:
    """Tell that a U-Net has other blocks; a config without them means diffusers' default."""
    if (found := unet.get("down_block_types", UNET_DEFAULTS["down_block_types"])) != blocks:
        return f"a U-Net of other blocks ({shown(found)})"
    return None


def parts_fault(
    configs: Configs, rules: Iterable[PartRules], pipeline: str, classes: Mapping[str, Collection[str]]
) -> str | None:
    """Tell the first thing in the configs that are there that is not known to be right; None when all is.

    `pipeline` begins the names of the pipelines that model_index.json may promise, `classes` says of which class a part may be.
    """
    for rule in rules:
        part = rule.file.partition("/")[0]
        if part in configs and (found := rule.fault(configs[part])):
            return found
    if "vae" in configs and (found := blocks_of_vae_fault(configs["vae"])):
        return found
    if "model_index" not in configs:
        return None
    index = configs["model_index"]
    # Another VAE may stand in for the model's own, which is then not looked at.
    if unnamed := [part for part in classes if index.get(part) in (None, [None, None]) and (part in configs or part != "vae")]:
        return f"a model whose model_index.json names no {unnamed[0]}"
    return index_fault(index, pipeline, classes)


def part_classes(layout: FamilyLayout, encoders: Mapping[str, Collection[str]]) -> dict[str, Collection[str]]:
    """Return which classes model_index.json may name for a family's parts."""
    tokenizers = dict.fromkeys(layout.tokenizers, ("CLIPTokenizer", "CLIPTokenizerFast"))
    weights = {layout.denoiser: ("UNet2DConditionModel",), layout.vae: ("AutoencoderKL",)}
    return {"scheduler": SCHEDULER_RULES.classes, **tokenizers, **weights, **encoders}


_KINDS = ("", "Img2Img", "Inpaint")
_SWITCHES = ("requires_safety_checker", "force_zeros_for_empty_prompt", "add_watermarker")
_UNUSED = ("safety_checker", "feature_extractor", "image_encoder")


def index_fault(index: Config, pipeline: str, classes: Mapping[str, Collection[str]]) -> str | None:
    """Tell what model_index.json promises beside a plain text-to-image pipeline; None when that is nothing."""
    name = index.get("_class_name")
    if name not in [f"{pipeline}{kind}Pipeline" for kind in _KINDS]:
        return f"a model whose model_index.json is for {shown(name)}, not {pipeline}Pipeline"
    for key, value in sorted(index.items()):
        pair = isinstance(value, list) and len(value) == 2
        if key.startswith("_") or key in _SWITCHES or (key in _UNUSED and pair) or value in (False, [None, None]):
            continue
        kind = value[1] if pair else value
        own_code = pair and value[0] not in ("diffusers", "transformers")
        if own_code or not isinstance(kind, str) or kind not in classes.get(key, ()):
            return f"a model whose model_index.json has {key}: {shown(kind)}, which is not known to be drawn right"
    return None


def pixels_per_latent(widths: Sequence[int]) -> int:
    """Return how many pixels one latent covers in a VAE whose blocks have these widths: each but the last halves the image."""
    return 2 ** (len(widths) - 1)
