"""The layouts of all families, and which one a folder has; imports no model code."""

from __future__ import annotations

from pathlib import Path

from pipeline.diffusion.families.layout import FamilyLayout
from pipeline.diffusion.families.sd1.layout import LAYOUT as SD1
from pipeline.diffusion.families.sdxl.layout import LAYOUT as SDXL

LAYOUTS: dict[str, FamilyLayout] = {layout.key: layout for layout in (SD1, SDXL)}
"""The first is what a folder without parts of its own is taken for."""


NAMES = " or ".join(layout.name for layout in LAYOUTS.values())
"""What a chain can run, in a sentence."""


def layout_of(model: str | Path) -> FamilyLayout:
    """Return the layout of the model in this folder, by the parts that only its family has."""
    *others, found = (*reversed(LAYOUTS.values()),)
    return next((layout for layout in others if any((Path(model) / part).exists() for part in layout.own_parts)), found)


def all_parts() -> tuple[str, ...]:
    """Return every part that a model of some family has."""
    return tuple(dict.fromkeys(part for layout in LAYOUTS.values() for part in layout.parts))


def weighted_parts() -> frozenset[str]:
    """Return those that have weights."""
    return frozenset(part for layout in LAYOUTS.values() for part in layout.weighted_parts)


def tokenizer_parts() -> dict[str, str]:
    """Return {tokenizer of some family: folder in which sd-scripts looks for it}."""
    return {part: folder for layout in LAYOUTS.values() for part, folder in layout.tokenizers.items()}
