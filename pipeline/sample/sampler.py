"""Prompts -> latents -> images with one Stable Diffusion, 1.x or XL, whose LoRA is already merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.core.randomness import generator
from pipeline.diffusion import lora
from pipeline.diffusion.deterministic import exact
from pipeline.diffusion.devices import check_precision, dtype_of, to_device
from pipeline.diffusion.families import DEFAULT, FAMILIES, DiffusionModel, NoiseProcess
from pipeline.diffusion.models import load_base
from pipeline.diffusion.text import CHUNK
from pipeline.methods.registry import call
from pipeline.methods.schedules import Schedule

ENCODE_BATCH = 64

DECODE_PIXELS = 4 * 512 * 512
"""Pixels that the VAE decodes at a time: its activations are the peak of memory."""

PredictBranches = Callable[[torch.Tensor, int], torch.Tensor]
"""([2N,C,h,w] float32 of variance 1, t) -> noise [2N,C,h,w]: the first half unconditional, the second conditional."""


@dataclass(frozen=True)
class SampleSettings:
    """How images are drawn, but for the model, the prompts and the seeds."""

    schedule: Schedule
    steps: int = 30
    height: int = 512
    width: int = 512
    clip_skip: int = 2
    max_token_length: int = CHUNK
    family: str = DEFAULT
    negative: str = ""
    """What guidance leads away from: the empty prompt, or a negative one."""

    @property
    def noise(self) -> NoiseProcess:
        return FAMILIES[self.family].noise

    @property
    def noise_levels(self) -> list[float]:
        """sigma at each step, [T]."""
        return [float(sigma) for sigma in self.noise.noise_levels(self.steps)[:-1]]

    @property
    def scales(self) -> list[float]:
        """s_t at each step, [T]."""
        return [call(self.schedule.scale, step, self.steps, sigma) for step, sigma in enumerate(self.noise_levels)]


@dataclass(frozen=True)
class Drawn:
    """One batch of images and what was recorded on the way, on the CPU, where a GPU may still be going to copy it to."""

    pixels: np.ndarray
    """[N,H,W,3] uint8."""
    latents: torch.Tensor
    """The last latents before decoding, scaled as the U-Net sees them, [N,4,h,w] float32."""
    diff_norm: torch.Tensor
    """||cond - uncond||_2 of the predicted noise, [N,T] float32."""
    finite: torch.Tensor
    """Whether the VAE made numbers of it, not NaN or infinity, which are black pixels, [N] bool."""
    arrived: torch.cuda.Event | None = None
    """None: it is there."""

    def wait(self) -> Drawn:
        """Return it when it is there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self

    def not_finite(self) -> list[int]:
        """Return rows that hold NaN or infinity, in their latents or decoded."""
        whole = torch.isfinite(self.latents).flatten(1).all(1) & self.finite
        return [row for row, is_whole in enumerate(whole.tolist()) if not is_whole]


class GuidedPrediction:
    """The solver's noise prediction: uncond + s_t (cond - uncond) (Chain of Diffusion, sec. 5)."""

    def __init__(
        self,
        predict: PredictBranches,
        network_input: Callable[[torch.Tensor, float], torch.Tensor],
        sigmas: Sequence[float],
        scales: Sequence[float],
    ) -> None:
        self._predict, self._network_input, self._sigmas, self._scales = predict, network_input, sigmas, scales
        self._norms: list[torch.Tensor] = []

    def __call__(self, x: torch.Tensor, step: int) -> torch.Tensor:
        """Predict at x [N,C,h,w] float32 -> the guided eps [N,C,h,w] float32."""
        scaled = self._network_input(x, self._sigmas[step])
        unconditional, conditional = self._predict(torch.cat([scaled, scaled]), step).float().chunk(2)
        self._norms.append((conditional - unconditional).flatten(1).norm(dim=1))
        # lerp is the formula above, and exact at s = 0 and s = 1.
        return torch.lerp(unconditional, conditional, self._scales[step])

    @property
    def diff_norm(self) -> torch.Tensor:
        """||cond - uncond||_2 of each image at each step so far [N,T] float32, in units of eps (the paper's Diff, G.2)."""
        return torch.stack(self._norms, dim=1)


def load_merged(
    model: str | Path, vae: str | Path | None, weights: Path | None, precision: str, device: torch.device | str
) -> DiffusionModel:
    """Load the base model with a LoRA merged in float32, then rounded to `precision`, on the device that samples.

    Raise UserError as `check_precision`, `load_base` and `lora.merge` do.
    """
    check_precision(precision, device)
    dtype = dtype_of(precision, device)
    base = load_base(model, vae, dtype=None)
    if weights is not None:
        lora.merge(base, weights, dtype=dtype)
    return base.move_to(device, dtype)


@torch.inference_mode()
def encode_prompts(model: DiffusionModel, prompts: Sequence[str], settings: SampleSettings) -> torch.Tensor:
    """Encode prompts -> conditions [N,S,d] in the model's dtype, on its device, as training encodes captions."""
    ids = model.tokenize(prompts, settings.max_token_length)
    return torch.cat([model.encode(rows, settings.clip_skip) for rows in ids.split(ENCODE_BATCH)])


class PromptEncodings:
    """Encodings of `prompts`, made as they are needed, since those of 100,000 prompts would fill 20 GB.

    They are made in groups that depend on the list alone: rounding must not depend on a restart.
    """

    def __init__(self, model: DiffusionModel, prompts: Iterable[str], settings: SampleSettings) -> None:
        self._model, self._settings = model, settings
        self._prompts = list(dict.fromkeys(prompts))
        self._places = {prompt: place for place, prompt in enumerate(self._prompts)}
        self._groups: dict[int, torch.Tensor] = {}

    def of(self, prompts: Sequence[str]) -> torch.Tensor:
        """Encode some of the prompts -> [N,S,d] in the model's dtype, on its device. Their groups stay at hand."""
        places = [divmod(self._places[prompt], ENCODE_BATCH) for prompt in prompts]
        self._groups = {group: self._group(group) for group in sorted({group for group, _ in places})}
        return torch.stack([self._groups[group][row] for group, row in places])

    def _group(self, group: int) -> torch.Tensor:
        if group in self._groups:
            return self._groups[group]
        start = group * ENCODE_BATCH
        return encode_prompts(self._model, self._prompts[start : start + ENCODE_BATCH], self._settings)


def draw(
    model: DiffusionModel,
    conditions: torch.Tensor,
    unconditional: torch.Tensor,
    seeds: Sequence[int],
    settings: SampleSettings,
) -> Drawn:
    """Draw one batch: conditions [N,S,d], the empty prompt's [1,S,d], and a seed per image -> N images."""
    with torch.inference_mode(), exact():
        latents, diff_norm = draw_latents(model, conditions, unconditional, seeds, settings)
        pixels, finite = decode(model, latents)
        return Drawn(pixels.cpu().numpy(), latents.cpu(), diff_norm.cpu(), finite.cpu())


@torch.inference_mode()
def draw_latents(
    model: DiffusionModel,
    conditions: torch.Tensor,
    unconditional: torch.Tensor,
    seeds: Sequence[int],
    settings: SampleSettings,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do as `draw` does, without decoding -> latents [N,4,h,w] float32, diff_norm [N,T] float32, on the model's device."""
    both = torch.cat([unconditional.expand_as(conditions), conditions])
    times = to_device(model.device, torch.tensor(model.noise.times(settings.steps), dtype=torch.float32))

    def predict(x: torch.Tensor, step: int) -> torch.Tensor:
        sample = x.to(dtype=model.dtype, memory_format=model.memory_format)
        return model.predict(sample, times[step], both)

    guided = GuidedPrediction(predict, model.noise.network_input, settings.noise_levels, settings.scales)
    cell = model.pixels_per_latent
    shape = (model.latent_channels, settings.height // cell, settings.width // cell)
    noise = image_noise(seeds, shape, model.device)
    with model.fixed_prompts(both, shape[1] * shape[2]):
        latents = model.noise.solve(guided, [*settings.noise_levels, 0.0], noise)
    return latents, guided.diff_norm


def image_noise(seeds: Sequence[int], shape: Sequence[int], device: torch.device | str) -> Iterator[torch.Tensor]:
    """Yield standard normal [N, *shape] float32 for ever; row i depends on seeds[i] alone, whatever the batch or device."""
    generators = [generator(seed) for seed in seeds]
    while True:
        yield to_device(device, torch.stack([torch.randn(*shape, generator=g) for g in generators]))


@torch.inference_mode()
def decode(model: DiffusionModel, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode latents of diffusion [N,C,h,w] -> pixels [N,H,W,3] uint8, and whether each is finite, [N] bool, on its device."""
    height, width = (side * model.pixels_per_latent for side in latents.shape[-2:])
    rows = max(1, DECODE_PIXELS // (height * width))
    parts = model.unscale_latents(latents).to(model.vae.dtype).split(rows)
    pixels, finite = [], []
    for part in parts:
        decoded = model.vae.decode(part, return_dict=False)[0]
        pixels.append(to_uint8(decoded))
        finite.append(torch.isfinite(decoded).flatten(1).all(1))
    return torch.cat(pixels), torch.cat(finite)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Turn [N,3,H,W] in [-1,1] into [N,H,W,3] uint8: clamped, and rounded to the nearest level."""
    levels = ((images.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous()
