"""The miniature's pretraining data: drawings, captions and labels, all from one seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.inputs.creature_drawing import draw
from pipeline.inputs.creatures import ATTRIBUTES, CAPTION_FORMS, NARROW_STYLE, SIZE, Creature, caption, random_creature

CAPTION_FORM_SHARES = (0.6, 0.15, 0.1, 0.15)
"""How often each of `CAPTION_FORMS` describes a pretraining drawing; held-out captions are always full."""


@dataclass(frozen=True)
class Drawings:
    """`images` [N,3,64,64] uint8, N captions, `labels` [N,A] int64 (columns as in `ATTRIBUTES`)."""

    images: torch.Tensor
    captions: list[str]
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.captions)

    def sha256(self) -> str:
        """Hash pixels and captions, the identity of the data that a model was trained on."""
        digest = hashlib.sha256(self.images.numpy().tobytes())
        digest.update("\n".join(self.captions).encode())
        return digest.hexdigest()


def to_unit_range(images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 [N,3,H,W] 0..255 into float32 -1..1."""
    return images.float() / 127.5 - 1.0


def make_drawings(seed: int, count: int, *, narrow_share: float, full_captions: bool = False) -> Drawings:
    """Draw `count` creatures; a `narrow_share` of them in D_0's style (0 for the U-Net's own training set)."""
    rng = np.random.default_rng(seed)
    creatures = [random_creature(rng, style=NARROW_STYLE if rng.random() < narrow_share else None) for _ in range(count)]
    forms = ["full"] * count if full_captions else rng.choice(CAPTION_FORMS, count, p=CAPTION_FORM_SHARES)
    return render(creatures, [str(f) for f in forms])


def render(creatures: list[Creature], forms: list[str]) -> Drawings:
    """Draw and caption the given creatures."""
    images = np.empty((len(creatures), 3, SIZE, SIZE), dtype=np.uint8)
    for i, creature in enumerate(creatures):
        images[i] = draw(creature).transpose(2, 0, 1)
    labels = torch.tensor([[c.labels()[name] for name in ATTRIBUTES] for c in creatures])
    captions = [caption(c, form) for c, form in zip(creatures, forms, strict=True)]
    return Drawings(torch.from_numpy(images), captions, labels)
