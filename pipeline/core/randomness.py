"""Seeds: every random number of the chain comes from a private generator seeded by what it is for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(*parts: int | str) -> int:
    """Hash the parts to a seed in [0, 2**63): unlike a sum, no two uses share a stream by accident."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def image_seed(seed: int, k: int, prompt: int, image: int = 0) -> int:
    """Return the seed of one generated image: a function of the run's seed, iteration, prompt and image index alone."""
    return derive_seed("image", seed, k, prompt, image)


def generator(seed: int) -> torch.Generator:
    """Return a CPU generator: what it draws is the same whatever device the model runs on."""
    import torch

    return torch.Generator().manual_seed(seed)
