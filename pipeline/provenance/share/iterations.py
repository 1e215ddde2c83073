"""Which outputs iteration k is."""

from __future__ import annotations

from pathlib import Path

from pipeline.chain.paths import Layout


def own_outputs(k: int) -> list[Path]:
    """What the stages of iteration k wrote: D_k, T_k, M_k, its traces, features, metrics and analysis."""
    layout = Layout()
    drawn = [layout.traces(k)] if k else []
    return [
        layout.images(k), layout.training_set(k), layout.model(k), *drawn, layout.features(k), layout.metrics(k),
        layout.analysis(k), layout.analysis_maps(k),
    ]  # fmt: skip


def needed_outputs(k: int) -> list[Path]:
    """`own_outputs`, and what gives them meaning: the prompts P, M_0's record, and D_0's metrics with the FID floor."""
    layout = Layout()
    return list(dict.fromkeys([*own_outputs(k), layout.prompts, layout.model(0), layout.metrics(0)]))


def outputs_up_to(k: int) -> list[Path]:
    """Iteration k and everything that it was made from: iterations 0..k, the prompts and M_0's record."""
    return list(dict.fromkeys(path for j in range(k + 1) for path in needed_outputs(j)))
