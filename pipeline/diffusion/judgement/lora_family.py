"""Tell for which family a LoRA was made, by the names of the layers that it changes and by their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch

from pipeline.diffusion.families.layouts import LAYOUTS
from pipeline.diffusion.judgement.tensors import built
from pipeline.diffusion.lora_targets import every_name

_OTHER_KINDS = {
    "double_blocks": "Flux",
    "single_transformer_blocks": "Flux",
    "joint_blocks": "Stable Diffusion 3",
    "lora_te3": "Stable Diffusion 3",
    "lora_prior": "Stable Cascade",
}
"""Parts of layers' names."""

_TEXT_WIDTHS = {1024: "Stable Diffusion 2"}
"""Widths of the text that the U-Nets of other models are conditioned on."""


class Change(Protocol):
    """A LoRA's change of one layer."""

    @property
    def down(self) -> torch.Tensor: ...
    @property
    def up(self) -> torch.Tensor: ...


@lru_cache(maxsize=1)
def _published() -> dict[str, dict[str, torch.Size]]:
    """Return {family: {layer under every name: shape of its weight}} of the models as published."""
    found = {}
    for layout in LAYOUTS.values():
        configs = layout.published()
        encoders = {prefix: built(part, configs[part]) for prefix, part in layout.lora_encoders.items()}
        denoiser = built(layout.denoiser, configs[layout.denoiser])
        layers = every_name(denoiser, encoders, configs[layout.denoiser]["layers_per_block"])
        found[layout.name] = {name: layer.get_parameter("weight").shape for name, layer in layers.items()}
    return found


def family_by_names(names: Mapping[str, Change]) -> str | None:
    """Return the one family that has all these layers; None when none or several do."""
    found = [family for family, layers in _published().items() if names.keys() <= layers.keys()]
    return found[0] if len(found) == 1 else None


def family_by_shapes(changes: Mapping[str, Change]) -> str | None:
    """Return the family whose published models the changes fit; None when there is none."""
    for family, layers in _published().items():
        if all(name in layers and _fits(change, layers[name]) for name, change in changes.items()):
            return family
    widths = {change.down.shape[1] for name, change in changes.items() if name.endswith("attn2_to_k")}
    return _TEXT_WIDTHS.get(widths.pop()) if len(widths) == 1 else None


def _fits(change: Change, shape: torch.Size) -> bool:
    return (change.up.shape[0], change.down.shape[1]) == tuple(shape[:2])


def of_another_model(name: str, changes: Mapping[str, Change], path: Path, family: str) -> str:
    """Return what to tell of a LoRA that changes layer `name`, which the model, of `family`, does not have."""
    several = any(layout.name == family and len(layout.text_encoders) > 1 for layout in LAYOUTS.values())
    if several and all(one.startswith("text_model_") for one in changes):
        return f"{path} does not say which text encoder of {family} it changes; use a LoRA in diffusers' or kohya's format"
    other = family_by_names(changes) or next(
        (kind for mark, kind in _OTHER_KINDS.items() if any(mark in one for one in changes)), None
    )
    if other:
        return f"{path} is a LoRA of {other}, and the model is {family}; use a LoRA that was made for it"
    return f"{path} changes {name!r}, which the model does not have; it belongs to another kind of model"
