"""T_k is D_{k-1}."""

from __future__ import annotations

from typing import Any

from pipeline.methods.policies import Sources, TrainingImage, policy


@policy("replace", words="{before}", inputs=())
def replace(sources: Sources, params: Any) -> list[TrainingImage]:
    """Return D_{k-1}: the Chain of Diffusion itself (section 3.1)."""
    return sources.images(sources.k - 1)
