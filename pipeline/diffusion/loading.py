"""Load one part of a model from a folder; what is missing or damaged becomes one sentence."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin

from pipeline.core.errors import UserError
from pipeline.core.tensors import read_header
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
    """Return the half precision that all weights of a part have; float32 where they differ, so that none is rounded."""
    files = [path for path in sorted(folder.glob("*.safetensors")) if _WEIGHTS.fullmatch(path.name)]
    kinds = {info.dtype for path in files for info in read_header(path).values()}
    return _DTYPES.get(kinds.pop(), torch.float32) if len(kinds) == 1 else torch.float32


def require_folders(model: str | Path, parts: Sequence[str]) -> None:
    """Raise UserError that names the first folder that is not there."""
    if not Path(model).is_dir():
        raise no_model(model)
    for part in parts:
        if not (Path(model) / part).is_dir():
            raise UserError(f"{model} has no folder {part}, so it is no complete model in diffusers layout; fetch it again")
