"""DnCNN, a residual convolutional denoiser (Zhang et al. 2017), with weights from a file."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.core.errors import UserError
from pipeline.core.tensors import load_tensors


def load_dncnn(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load from a safetensors file a DnCNN of any depth (17 or 20 as published), on the CPU.

    The file holds the 3x3 convolutions `model.0`, `model.2`, ... (`.weight` and `.bias`) with a ReLU between two of
    them, batch normalisation folded in, from 3 channels to 3: the names of the published colour models.
    Raise UserError when the file is missing or holds anything else.
    """
    if not path.is_file():
        raise UserError(f"denoiser_weights names {path}, which does not exist; change denoiser_weights in params.yaml")
    tensors = load_tensors(path)[0]
    depth = len(tensors) // 2
    width = max(1, len(tensors.get("model.0.bias", ())))
    with torch.device("meta"):  # no memory before the file is known to be of this shape
        network = _network(depth, width)
    shapes = {f"model.{name}": tensor.shape for name, tensor in network.state_dict().items()}
    if depth < 2 or {name: tensor.shape for name, tensor in tensors.items()} != shapes:
        raise UserError(
            f"{path} (denoiser_weights) is not a DnCNN for RGB: it must hold 3x3 convolutions model.0, model.2, ..., each "
            "with .weight and .bias, from 3 channels to 3; convert the published weights to safetensors"
        )
    weights = {name.removeprefix("model."): tensor.float() for name, tensor in tensors.items()}
    network.load_state_dict(weights, assign=True)
    network.eval()

    def denoise(image: np.ndarray) -> np.ndarray:
        """Take away the noise that the network predicts."""
        with torch.inference_mode():
            noisy = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
            return (noisy - network(noisy))[0].permute(1, 2, 0).numpy()

    return denoise


def _network(depth: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into, out in pairwise([3, *[width] * (depth - 1), 3]):
        layers += [nn.Conv2d(into, out, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
