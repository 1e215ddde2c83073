"""T_k is all that was made so far."""

from __future__ import annotations

from typing import Any

from pipeline.methods.policies import Sources, TrainingImage, policy


@policy("accumulate", words="{all_before}, the real ones included", inputs=("previous",))
def accumulate(sources: Sources, params: Any) -> list[TrainingImage]:
    """Return T_{k-1} + D_{k-1}: everything made so far, with D_0 (appendix C.12)."""
    return [*sources.previous(), *sources.images(sources.k - 1)]
