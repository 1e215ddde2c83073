"""LoRA files: read in any of the formats that people have, merged into a model exactly, written in kohya's."""

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
from pipeline.diffusion.families import DiffusionModel
from pipeline.diffusion.families.layouts import NAMES
from pipeline.diffusion.judgement.lora_family import family_by_shapes, of_another_model
from pipeline.diffusion.judgement.metadata import metadata_fault
from pipeline.diffusion.lora_formats import PEFT_PREFIX, Scales, read_scales, split_key
from pipeline.diffusion.lora_targets import every_name


class LowRank(NamedTuple):
    """The change of one layer: weight + up @ down * alpha / rank.

    Shapes: down [r,in] and up [out,r] of a Linear, down [r,in,k,k] and up [out,r,1,1] of a kxk Conv2d: the sum of two
    convolutions, first kxk to r channels, then 1x1, is the convolution with the product of their weights.
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
    """Read a LoRA file -> {layer name with _ for dots: LowRank} in float32. A missing alpha means the rank.

    Raise UserError when the file is damaged, no plain LoRA or for another kind of model, a layer lacks a half, or as
    `check_finite` does.
    """
    weights = read(path)
    check_finite(weights, path)
    return weights


def read(path: Path) -> dict[str, LowRank]:
    """Read as `load` does, whatever the values are."""
    tensors, metadata = load_tensors(path)
    if fault := metadata_fault(metadata):
        raise UserError(f"{path} was finetuned from {fault}; use a LoRA of {NAMES} that predicts epsilon")
    peft = any(key.startswith(PEFT_PREFIX) for key in tensors)
    scales = read_scales(path, metadata, peft)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        name, half = split_key(key.removeprefix(PEFT_PREFIX), path)
        if half in parts.setdefault(name, {}):
            raise UserError(f"{path} has two tensors for {half} of {name!r}; fetch or make it again")
        if half != "alpha" and not tensor.is_floating_point():
            raise UserError(
                f"{path} holds {key!r} as {tensor.dtype}, not as floating-point numbers; use a LoRA that is not packed"
            )
        parts[name][half] = tensor.float()
    if not parts:
        raise UserError(f"{path} holds no LoRA weights; fetch or make it again")
    if not scales:
        _require_one_rank(path, parts)
    found: dict[str, LowRank] = {}
    for name, halves in parts.items():
        plain = name.replace(".", "_")
        if plain in found:
            raise UserError(f"{path} changes {plain!r} twice, under two spellings; fetch or make it again")
        found[plain] = _low_rank(path, name, halves, scales)
    return found


def _require_one_rank(path: Path, parts: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Raise UserError for layers of several ranks, in diffusers' format, that say no alpha: programs differ on their scale.

    In kohya's format it is each layer's own rank.
    """
    silent = [
        halves["down"] for name, halves in parts.items() if not name.startswith("lora_") and halves.keys() == {"down", "up"}
    ]
    if len(ranks := {down.shape[0] for down in silent if down.ndim}) > 1:
        raise UserError(
            f"{path} has layers of the ranks {', '.join(map(str, sorted(ranks)))} and does not say alpha, without which their "
            "scale is not known; save it with a tensor alpha for each layer, or with diffusers' lora_adapter_metadata"
        )


def _low_rank(path: Path, name: str, halves: Mapping[str, torch.Tensor], scales: Mapping[str, Scales]) -> LowRank:
    missing = {"down", "up"} - halves.keys()
    if missing:
        raise UserError(f"{path} lacks lora_{missing.pop()}.weight of {name!r}; fetch or make it again")
    down, up = halves["down"], halves["up"]
    rank = down.shape[0] if down.ndim else 0
    said = next((found.alpha_of(name, rank) for start, found in scales.items() if name.startswith(start)), float(rank))
    alpha = halves.get("alpha", torch.tensor(said))
    if {down.ndim, up.ndim} not in ({2}, {4}) or not down.numel() or not up.numel() or alpha.numel() != 1:
        shapes = f"down {tuple(down.shape)}, up {tuple(up.shape)} and alpha {tuple(alpha.shape)}"
        raise UserError(f"{path} is a LoRA of another shape: {name!r} has {shapes}; use a plain LoRA, or a LoCon")
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
    weights = load(lora_path)
    layers = every_name(model.denoiser, model.text_encoders(), model.layers_per_block)
    for name, module in fitting(weights, layers, lora_path, model.family.layout.name).items():
        layer, weight = weights[name], module.get_parameter("weight")
        change = (layer.up.flatten(1) @ layer.down.flatten(1)) * (multiplier * layer.scale)
        merged = weight.float() + change.reshape(weight.shape).to(weight.device)
        if dtype in (None, weight.dtype):
            weight.copy_(merged)
        else:
            weight.data = merged.to(dtype)


def fitting(weights: Mapping[str, LowRank], layers: Mapping[str, nn.Module], path: Path, family: str) -> dict[str, nn.Module]:
    """Return {name in the LoRA read from `path`: the layer among `layers`, of a model of `family`, that it changes}.

    Raise UserError unless every layer exists, is changed once, and has the change's shape.
    """
    if missing := next((name for name in weights if name not in layers), None):
        raise UserError(of_another_model(missing, weights, path, family))
    found, names = {}, dict[int, str]()
    for name, layer in weights.items():
        module = layers[name]
        if (other := names.setdefault(id(module), name)) != name:
            raise UserError(f"{path} changes one layer twice, as {other!r} and as {name!r}; fetch or make it again")
        _check_shape(name, layer, module.get_parameter("weight").shape, weights, path)
        found[name] = module
    return found


def _check_shape(name: str, layer: LowRank, shape: torch.Size, weights: Mapping[str, LowRank], path: Path) -> None:
    kernel = tuple(layer.down.shape[2:]) or (1, 1)
    got = (layer.up.shape[0], layer.down.shape[1], *kernel)
    if got == (*shape[:2], *(shape[2:] or (1, 1))) and layer.up.numel() == layer.up.shape[0] * layer.rank:
        return
    if other := family_by_shapes(weights):
        raise UserError(
            f"{path} is a LoRA of {other}, whose layers have other shapes than the model's; use one made for the model"
        )
    halves = (tuple(layer.down.shape), tuple(layer.up.shape))
    raise UserError(
        f"{path} is a LoRA of another shape: {name!r} has down and up {halves}, the model's layer is {tuple(shape)}"
    )
