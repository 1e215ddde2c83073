"""What the folder of a model in diffusers layout holds, and how a family is recognised; imports no model code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

Config = dict[str, Any]
Configs = Mapping[str, Config]
"""{part: its config.json}, {} for a part that is not there."""

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
    own_parts: tuple[str, ...]
    """What it has beside the parts of the families before it; none in the first."""
    claims: Callable[[Configs], bool]
    """Whether the folder holds this family, or a relative that cannot be told apart from its file names."""
    fault: Callable[[Configs], str | None]
    """Which relative it is that a chain cannot run; None when it can."""
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
        return all(configs[part].get(key) == true[part][key] for part, keys in sizes.items() for key in keys)


def unet_fault(configs: Configs) -> str | None:
    """Tell why a U-Net is none that turns text into images by predicting epsilon; None when it is."""
    unet, prediction = configs["unet"], configs["scheduler"].get("prediction_type", "epsilon")
    if (channels := unet.get("in_channels", 4)) != 4:
        return f"a model that takes {channels} channels (inpainting or depth), not a text-to-image model"
    if prediction != "epsilon":
        return f"a model whose prediction type is {prediction}, not epsilon"
    if unet.get("time_cond_proj_dim"):
        return "a distilled model whose guidance is built in (LCM)"
    return None


def blocks_fault(unet: Config, blocks: list[str], default: list[str]) -> str | None:
    """Tell that a U-Net has other blocks; a config without them means diffusers' `default`."""
    if unet.get("down_block_types", default) != blocks:
        return f"a U-Net of other blocks ({', '.join(map(str, unet['down_block_types']))})"
    return None


def pixels_per_latent(widths: Sequence[int]) -> int:
    """Return how many pixels one latent covers in a VAE whose blocks have these widths: each but the last halves the image."""
    return 2 ** (len(widths) - 1)
