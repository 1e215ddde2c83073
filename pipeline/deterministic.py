"""Training on a GPU that gives the same bytes each time: no kernel that adds up in an order of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def deterministic(device: torch.device | str) -> Iterator[None]:
    """Inside the block torch takes deterministic kernels wherever it has them; on a CPU all that we use are so anyway."""
    if torch.device(device).type == "cpu":
        yield
        return
    settings: Any = torch.utils.deterministic  # a module that mypy takes for an empty one
    before, filled = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    # What matrix products need for it; read when the first one runs.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling every new tensor would cost time and decides nothing: no kernel here reads what it has not written.
    settings.fill_uninitialized_memory = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = filled
