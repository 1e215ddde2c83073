"""Which layers a LoRA changes, and how they are called in kohya's files."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from pipeline.diffusion.families import DiffusionModel, TrainParts


def target_modules(model: DiffusionModel, train_parts: TrainParts = "both") -> dict[str, nn.Module]:
    """Return {kohya's name: layer} of every Linear and 1x1 Conv2d that a LoRA changes, text encoders first, as sd-scripts does.

    Those are all inside the family's blocks; in a U-Net proj_in and proj_out included, in CLIP's text encoder q, k, v, out,
    fc1 and fc2 of each layer. The names equal those of sd-scripts.
    """
    found: dict[str, nn.Module] = {}
    if train_parts != "unet":
        for prefix, text_encoder in model.text_encoders().items():
            found.update(_layers(text_encoder, prefix, model.text_blocks()))
    if train_parts != "text_encoder":
        layers = _layers(model.denoiser, DENOISER_PREFIX, model.lora_blocks())
        found.update((model.lora_name(name), layer) for name, layer in layers)
    return found


def _layers(root: nn.Module, prefix: str, blocks: frozenset[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield layers inside blocks whose class is named in `blocks`; by name, as the class moves between library versions."""
    for block_name, block in root.named_modules():
        if type(block).__name__ in blocks:
            for name, layer in block.named_modules():
                if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)):
                    yield f"{prefix}.{block_name}.{name}".replace(".", "_"), layer


TEXT_ENCODER_PREFIX, DENOISER_PREFIX = "lora_te", "lora_unet"
"""How layers' names begin in every family."""
