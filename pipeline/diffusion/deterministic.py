"""On a GPU float32 that means float32, and the same bytes each time: no kernel that adds up in an order of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from pipeline.core.errors import UserError

_NO_KERNEL = "does not have a deterministic implementation"
"""Words of the error that torch raises for such an operation."""


def exact() -> AbstractContextManager[None]:
    """Make convolutions on a GPU deterministic inside the block, and float32 not TF32, which has 10 bits of mantissa."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


@contextmanager
def deterministic(device: torch.device | str) -> Iterator[None]:
    """Let torch inside the block take deterministic kernels alone on CUDA, and where it has them on another accelerator.

    On a CPU all that we use are so anyway. Raise UserError where CUDA has none. With `warn_only` attention would keep its
    faster gradients, which add up in an order of their own.
    """
    kind = torch.device(device).type
    if kind == "cpu":
        yield
        return
    settings: Any = torch.utils.deterministic  # a module that mypy takes for an empty one
    before, filled = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    # What matrix products need for it; read when the first one runs.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=kind != "cuda")
    # Filling every new tensor would cost time and decides nothing: no kernel here reads what it has not written.
    settings.fill_uninitialized_memory = False
    try:
        with exact():
            yield
    except RuntimeError as error:
        if _NO_KERNEL not in str(error):
            raise
        operation = str(error).partition(" ")[0]
        raise UserError(
            f"this torch has no deterministic kernel for {operation} on {device}, and the same training must give the same "
            "bytes; use another version of torch, or trainer: kohya, which promises less"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = filled
