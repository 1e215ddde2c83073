"""Which layers a LoRA changes, and how they are called in LoRA files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from torch import nn

from pipeline.diffusion.families import DiffusionModel, TrainParts
from pipeline.diffusion.families.original_names import original_name


def target_modules(model: DiffusionModel, train_parts: TrainParts = "both") -> dict[str, nn.Module]:
    """Return {kohya's name: layer} of every Linear and 1x1 Conv2d that a LoRA changes, text encoders first, as sd-scripts does.

    Those are all inside the family's blocks; in a U-Net proj_in and proj_out included, in CLIP's text encoder q, k, v, out,
    fc1 and fc2 of each layer. The names equal those of sd-scripts.
    """
    found: dict[str, nn.Module] = {}
    if train_parts != "unet":
        for prefix, text_encoder in model.text_encoders().items():
            layers = _layers(text_encoder, model.text_blocks())
            found.update((_with_lines(f"{prefix}.{name}"), layer) for name, layer in layers)
    if train_parts != "text_encoder":
        layers = _layers(model.denoiser, model.lora_blocks())
        found.update((_with_lines(f"{DENOISER_PREFIX}.{model.lora_name(name)}"), layer) for name, layer in layers)
    return found


def _layers(root: nn.Module, blocks: frozenset[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield layers inside blocks whose class is named in `blocks`; by name, as the class moves between library versions."""
    for block_name, block in root.named_modules():
        if type(block).__name__ in blocks:
            for name, layer in block.named_modules():
                if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)):
                    yield f"{block_name}.{name}", layer


TEXT_ENCODER_PREFIX, DENOISER_PREFIX = "lora_te", "lora_unet"
"""How layers' names begin in every family."""


def every_name(denoiser: nn.Module, text_encoders: Mapping[str, nn.Module], layers_per_block: int) -> dict[str, nn.Module]:
    """Return {name: layer} of every Linear and Conv2d of a model, under all the names that LoRA files give it, _ for each dot.

    `text_encoders` are named as `DiffusionModel.text_encoders` names them.
    """
    found: dict[str, nn.Module] = {}
    paths = {name: layer for name, layer in denoiser.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    attended = {name.partition(".attentions.")[0] for name in paths if ".attentions." in name}
    for name, layer in paths.items():
        block = ".".join(name.split(".")[:2])
        original = original_name(name, layers_per_block, block in attended)
        _add(found, layer, (f"{prefix}{name}" for prefix in ("lora_unet.", "unet.", "")))
        _add(found, layer, (f"{prefix}{original}" for prefix in ("lora_unet.", "diffusion_model.", "model.diffusion_model.")))
    for (kohya, encoder), diffusers in zip(text_encoders.items(), ("text_encoder.", "text_encoder_2."), strict=False):
        prefixes = [f"{kohya}.", diffusers, *([""] if len(text_encoders) == 1 else [])]
        for name, layer in encoder.named_modules():
            if isinstance(layer, nn.Linear):
                _add(found, layer, (f"{prefix}{name}" for prefix in prefixes))
    return found


def _add(found: dict[str, nn.Module], layer: nn.Module, names: Iterable[str]) -> None:
    found.update((_with_lines(name), layer) for name in names)


def _with_lines(name: str) -> str:
    return name.replace(".", "_")
