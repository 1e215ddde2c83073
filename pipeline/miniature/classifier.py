"""An attribute classifier, trained on real drawings only: an independent measure of what a generated creature shows."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline.inputs.creatures import ATTRIBUTES, SIZE
from pipeline.miniature.drawings import Drawings, to_unit_range
from pipeline.miniature.training_loop import fit


class Classifier(nn.Module):
    """Five strided convolutions and a linear layer per attribute: [N,3,64,64] in -1..1 -> logits per attribute."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 32, 64, 96, 128)
        layers: list[nn.Module] = []
        for i, (inner, outer) in enumerate(pairwise(channels)):
            layers += [nn.Conv2d(inner, outer, 3, stride=2, padding=1), nn.GroupNorm(4, outer), nn.SiLU()]
            if i > 0:
                layers += [nn.Conv2d(outer, outer, 3, padding=1), nn.GroupNorm(4, outer), nn.SiLU()]
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2))
        flat = channels[-1] * (SIZE // 16) ** 2
        self.heads = nn.ModuleDict({name: nn.Linear(flat, len(values)) for name, values in ATTRIBUTES.items()})

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}


def train_classifier(drawings: Drawings, *, steps: int, batch: int, lr: float, seed: int) -> tuple[Classifier, list[float]]:
    """Minimise the cross-entropy over all attributes, on drawings shifted by up to 2 pixels and slightly noisy."""
    torch.manual_seed(seed)
    model = Classifier()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss_of(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        dx, dy = torch.randint(-2, 3, (2,), generator=generator).tolist()
        images = to_unit_range(drawings.images[rows]).roll((dy, dx), dims=(2, 3))
        images = images + 0.05 * torch.randn(images.shape, generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images.contiguous(memory_format=torch.channels_last))
        losses = [cross_entropy(logits[name].float(), drawings.labels[rows, i]) for i, name in enumerate(ATTRIBUTES)]
        return torch.stack(losses).mean()

    averaged, history = fit("classifier", model, loss_of, len(drawings), steps=steps, batch=batch, lr=lr, seed=seed, ema=0.99)
    averaged.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return averaged, history


@torch.no_grad()
def accuracies(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return the share of uint8 images [N,3,64,64] whose attribute is recognised as labelled, per attribute."""
    logits = [classifier(to_unit_range(chunk)) for chunk in images.split(256)]
    return {
        name: float((torch.cat([part[name] for part in logits]).argmax(1) == labels[:, i]).float().mean())
        for i, name in enumerate(ATTRIBUTES)
    }
