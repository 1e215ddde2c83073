"""LoRA files in kohya's key format: how they are read, merged into a model and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes
from pipeline.core.tensors import load_tensors, save_tensors
from pipeline.diffusion.families import FAMILIES, DiffusionModel
from pipeline.diffusion.lora_targets import target_modules

_SUFFIXES = {"lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha"}


class LowRank(NamedTuple):
    """The change of one layer: weight + up @ down * alpha / rank.

    Shapes: down [r,in] and up [out,r] of a Linear, down [r,in,1,1] and up [out,r,1,1] of a 1x1 Conv2d.
    """

    down: torch.Tensor
    up: torch.Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


@dataclass(frozen=True)
class LoraFile:
    """A LoRA's name and hashes: of all its file, and of its tensors alone, which A1111 and kin know it by."""

    name: str
    sha256: str
    tensors_sha256: str


def identify(path: Path, name: str) -> LoraFile:
    """Hash a LoRA file. A safetensors file is 8 bytes (the header's length, little-endian), the header, the tensors."""
    content = path.read_bytes()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    return LoraFile(name, sha256_bytes(content), sha256_bytes(tensors))


def load(path: Path) -> dict[str, LowRank]:
    """Read a kohya LoRA file -> {layer name: LowRank} in float32. A missing alpha means the rank, as everywhere.

    Raise UserError when the file is damaged, a layer lacks a half, or as `check_finite` does.
    """
    weights = read(path)
    check_finite(weights, path)
    return weights


def read(path: Path) -> dict[str, LowRank]:
    """Read as `load` does, whatever the values are."""
    tensors, _ = load_tensors(path)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, suffix = key.partition(".")
        if suffix not in _SUFFIXES:
            raise UserError(f"{path} holds {key!r}, which is no plain LoRA key of kohya's; use a LoRA without extensions")
        parts.setdefault(name, {})[_SUFFIXES[suffix]] = tensor.float()
    if not parts:
        raise UserError(f"{path} holds no LoRA weights; fetch or make it again")
    return {name: _low_rank(path, name, halves) for name, halves in parts.items()}


def _low_rank(path: Path, name: str, halves: Mapping[str, torch.Tensor]) -> LowRank:
    missing = {"down", "up"} - halves.keys()
    if missing:
        raise UserError(f"{path} lacks lora_{missing.pop()}.weight of {name!r}; fetch or make it again")
    down, up = halves["down"], halves["up"]
    alpha = halves.get("alpha", torch.tensor(float(down.shape[0] if down.ndim else 0)))
    if {down.ndim, up.ndim} not in ({2}, {4}) or not down.numel() or not up.numel() or alpha.numel() != 1:
        shapes = f"down {tuple(down.shape)}, up {tuple(up.shape)} and alpha {tuple(alpha.shape)}"
        raise UserError(f"{path} is a LoRA of another shape: {name!r} has {shapes}; use one of kohya's plain LoRAs")
    return LowRank(down, up, float(alpha))


def check_finite(weights: Mapping[str, LowRank], path: Path) -> None:
    """Raise UserError when a layer's change is NaN, infinite, or may be too large for float32: its training has diverged."""
    largest = torch.finfo(torch.float32).max
    for name, layer in weights.items():
        # No entry of up @ down * scale is larger than this; NaN fails the comparison.
        bound = layer.rank * float(layer.up.abs().max()) * float(layer.down.abs().max()) * abs(layer.scale)
        if not bound <= largest:
            raise UserError(
                f"{path} holds NaN or infinity, or values beyond float32, in {name!r}; "
                "train it again with a lower unet_lr and text_encoder_lr"
            )


def save(path: Path, weights: Mapping[str, LowRank], metadata: Mapping[str, str] | None = None) -> None:
    """Write a LoRA in kohya's key format, float32, alpha as a float tensor; equal weights give equal bytes."""
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in weights.items():
        tensors[f"{name}.lora_down.weight"] = layer.down.float()
        tensors[f"{name}.lora_up.weight"] = layer.up.float()
        tensors[f"{name}.alpha"] = torch.tensor(layer.alpha, dtype=torch.float32)
    save_tensors(path, tensors, metadata)


@torch.no_grad()
def merge(model: DiffusionModel, lora_path: Path, multiplier: float = 1.0, dtype: torch.dtype | None = None) -> None:
    """Add a LoRA to the model's weights in place: weight + multiplier * alpha / rank * up @ down.

    The sum is taken in float32 and rounded once, to `dtype`, or to the weight's own for None. Raise UserError, before
    anything is changed, when the file does not fit the model.
    """
    modules = target_modules(model)
    weights = load(lora_path)
    check_fits(weights, modules, lora_path)
    for name, layer in weights.items():
        weight = modules[name].get_parameter("weight")
        change = (layer.up.flatten(1) @ layer.down.flatten(1)) * (multiplier * layer.scale)
        merged = weight.float() + change.reshape(weight.shape).to(weight.device)
        if dtype in (None, weight.dtype):
            weight.copy_(merged)
        else:
            weight.data = merged.to(dtype)


def check_fits(weights: Mapping[str, LowRank], modules: Mapping[str, nn.Module], path: Path) -> None:
    """Raise UserError unless every layer of the LoRA read from `path` exists in the model and has its shape."""
    for name, layer in weights.items():
        if name not in modules:
            raise UserError(_of_another_model(name, modules, path))
        shape = modules[name].get_parameter("weight").shape
        expected = ((layer.rank, *shape[1:]), (shape[0], layer.rank, *shape[2:]))
        got = (tuple(layer.down.shape), tuple(layer.up.shape))
        if got != expected:
            raise UserError(f"{path} is a LoRA of another shape: {name!r} has down and up {got}, the model needs {expected}")


def _of_another_model(name: str, modules: Mapping[str, nn.Module], path: Path) -> str:
    """Return what to tell of a layer that the model does not have."""
    own = next((family for family in FAMILIES.values() if any(map(family.lora_key.match, modules))), None)
    for other in FAMILIES.values():
        if own and other is not own and other.lora_key.match(name):
            what = f"a LoRA of {other.layout.name}, and the model is {own.layout.name}"
            return f"{path} is {what}; use a LoRA that was made for it"
    return f"{path} changes {name!r}, which the model does not have; it belongs to another kind of model"
