"""Load one part of a model from a folder; what is missing or damaged becomes one sentence."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from safetensors import SafetensorError, safe_open

from pipeline.core.errors import UserError
from pipeline.core.weights import loading, no_model

_WEIGHTS = re.compile(r"(diffusion_pytorch_)?model(-\d+-of-\d+)?\.safetensors")
_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16}


def from_pretrained(kind: Any, folder: Path, **options: Any) -> Any:
    """Return a part of class `kind`. Raise UserError when its files are missing or damaged."""
    with loading(f"{kind.__name__} from {folder}", "fetch or make it again"):
        return kind.from_pretrained(str(folder), **options)


def load_weights(kind: Any, folder: Path, dtype: torch.dtype | None) -> Any:
    """Return a part with weights, in `dtype`, or in its file's for None; frozen."""
    option = "torch_dtype" if issubclass(kind, ModelMixin) else "dtype"
    return from_pretrained(kind, folder, **{option: dtype or _stored_dtype(folder)}).eval().requires_grad_(False)


def _stored_dtype(folder: Path) -> torch.dtype:
    """Return the dtype of the first weight in a part's file; float32 for all but the half precisions."""
    for path in sorted(folder.glob("*.safetensors")):
        if _WEIGHTS.fullmatch(path.name):
            try:
                with safe_open(path, framework="pt") as file:
                    return _DTYPES.get(file.get_slice(next(iter(file.keys()))).get_dtype(), torch.float32)
            except (SafetensorError, StopIteration, OSError) as error:
                raise UserError(f"cannot read {path}: {error}; fetch the model again") from error
    return torch.float32


def require_folders(model: str | Path, parts: Sequence[str], vae: str | Path | None = None) -> None:
    """Raise UserError that names the first folder that is not there."""
    if not Path(model).is_dir():
        raise no_model(model)
    if vae and not Path(vae).is_dir():
        raise UserError(f"there is no folder {vae}; name one that holds a VAE in diffusers layout, or set vae to null")
    for part in parts:
        if not (Path(model) / part).is_dir():
            raise UserError(f"{model} has no folder {part}, so it is no complete model in diffusers layout; fetch it again")
