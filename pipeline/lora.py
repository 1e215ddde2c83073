"""LoRA files in kohya's key format: which layers they change, and how they are read, merged and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import nn

from pipeline.errors import UserError
from pipeline.models import StableDiffusion
from pipeline.storage import load_tensors, save_tensors

TrainParts = Literal["both", "unet", "text_encoder"]

_UNET_PREFIX, _TEXT_PREFIX = "lora_unet", "lora_te"
_UNET_BLOCKS = frozenset({"Transformer2DModel"})
_TEXT_BLOCKS = frozenset({"CLIPAttention", "CLIPMLP"})
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


def target_modules(unet: nn.Module, text_encoder: nn.Module, train_parts: TrainParts = "both") -> dict[str, nn.Module]:
    """{kohya's name: layer} of every Linear and 1x1 Conv2d that a LoRA changes, text encoder first, as sd-scripts orders them.

    In the U-Net those are all inside the transformer blocks, proj_in and proj_out included; in the text encoder q, k, v,
    out, fc1 and fc2 of each layer. The names equal those of sd-scripts' networks/lora.py for Stable Diffusion 1.x.
    """
    found: dict[str, nn.Module] = {}
    if train_parts != "unet":
        found.update(_layers(text_encoder, _TEXT_PREFIX, _TEXT_BLOCKS))
    if train_parts != "text_encoder":
        found.update(_layers(unet, _UNET_PREFIX, _UNET_BLOCKS))
    return found


def _layers(root: nn.Module, prefix: str, blocks: frozenset[str]) -> Iterator[tuple[str, nn.Module]]:
    """Layers inside the blocks whose class is named in `blocks`; by name, as the class moves between library versions."""
    for block_name, block in root.named_modules():
        if type(block).__name__ in blocks:
            for name, layer in block.named_modules():
                if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)):
                    yield f"{prefix}.{block_name}.{name}".replace(".", "_"), layer


def load(path: Path) -> dict[str, LowRank]:
    """Read a kohya LoRA file -> {layer name: LowRank} in float32. A missing alpha means the rank, as everywhere.

    Raises UserError when the file is damaged, a layer lacks a half, or as `check_finite` does.
    """
    weights = read(path)
    check_finite(weights, path)
    return weights


def read(path: Path) -> dict[str, LowRank]:
    """As `load`, whatever the values are."""
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
def merge(model: StableDiffusion, lora_path: Path, multiplier: float = 1.0) -> None:
    """Add a LoRA to the model's weights in place, the sum taken in float32: weight + multiplier * alpha / rank * up @ down.

    Raises UserError, before anything is changed, when the file does not fit the model.
    """
    modules = target_modules(model.unet, model.text_encoder)
    weights = load(lora_path)
    check_fits(weights, modules, lora_path)
    for name, layer in weights.items():
        weight = modules[name].get_parameter("weight")
        change = (layer.up.flatten(1) @ layer.down.flatten(1)) * (multiplier * layer.scale)
        weight.copy_(weight.float() + change.reshape(weight.shape).to(weight.device))


def check_fits(weights: Mapping[str, LowRank], modules: Mapping[str, nn.Module], path: Path) -> None:
    """Raise UserError unless every layer of the LoRA read from `path` exists in the model and has its shape."""
    for name, layer in weights.items():
        if name not in modules:
            raise UserError(f"{path} changes {name!r}, which the model does not have; it belongs to another kind of model")
        shape = modules[name].get_parameter("weight").shape
        expected = ((layer.rank, *shape[1:]), (shape[0], layer.rank, *shape[2:]))
        got = (tuple(layer.down.shape), tuple(layer.up.shape))
        if got != expected:
            raise UserError(f"{path} is a LoRA of another shape: {name!r} has down and up {got}, the model needs {expected}")
