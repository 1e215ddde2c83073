"""What chance decides in a training step, drawn by private generators from the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import torch

from pipeline.core.randomness import derive_seed, generator
from pipeline.diffusion.devices import to_device


@dataclass(frozen=True)
class StepNoise:
    """One step's chance, on the CPU; B samples of latents [C,h,w]."""

    rows: torch.Tensor
    """[B] int64: which examples."""
    flips: torch.Tensor
    """[B] bool: which of them are mirrored."""
    blanks: torch.Tensor
    """[B] bool: which captions are dropped (caption dropout; condition drop is drawn apart)."""
    posterior: torch.Tensor
    """[B,C,h,w]: the noise that picks a latent from the VAE's posterior."""
    noise: torch.Tensor
    """[B,C,h,w]: the noise of diffusion, noise offset included."""
    timesteps: torch.Tensor
    """[B] int64 in [0, train_steps)."""

    def part(self, rows: slice, device: torch.device) -> StepNoise:
        """Return some of the samples, on `device`."""
        return StepNoise(*(to_device(device, getattr(self, field.name)[rows]) for field in fields(self)))


class NoiseSource(Protocol):
    """Where a trainer gets its chance from; a test can hand it another trainer's."""

    def __call__(self, step: int) -> StepNoise: ...


@dataclass(frozen=True)
class SeededNoise:
    """Epochs are random permutations cut into batches (the last may be smaller); everything else is independent."""

    seed: int
    examples: int
    batch_size: int
    latent_shape: tuple[int, int, int]
    flip: bool
    caption_dropout: float
    noise_offset: float
    train_steps: int

    def __call__(self, step: int) -> StepNoise:
        rows = self.rows(step)
        count = len(rows)
        chance = generator(derive_seed("train_step", self.seed, step))
        flips = torch.rand(count, generator=chance) < 0.5
        blanks = torch.rand(count, generator=chance) < self.caption_dropout
        posterior = torch.randn(count, *self.latent_shape, generator=chance)
        noise = torch.randn(count, *self.latent_shape, generator=chance)
        if self.noise_offset:
            noise += self.noise_offset * torch.randn(count, self.latent_shape[0], 1, 1, generator=chance)
        timesteps = torch.randint(self.train_steps, (count,), generator=chance)
        return StepNoise(rows, flips & self.flip, blanks, posterior, noise, timesteps)

    def rows(self, step: int) -> torch.Tensor:
        """Return the examples of one step, [B] int64."""
        epoch, batch = divmod(step, -(-self.examples // self.batch_size))
        order = torch.randperm(self.examples, generator=generator(derive_seed("train_epoch", self.seed, epoch)))
        return order[batch * self.batch_size : (batch + 1) * self.batch_size]
