"""Model families, one folder each: all in which they differ, so that no stage and no input names one.

    layout.py                  a family's folder in diffusers layout, and the configs that it is recognised by (no model code)
    allow_list.py              what of those configs is known to be drawn and trained right; part_rules.py: how it is judged
    FAMILY/layout.py           the same of one family; published.json: its configs at true size
    FAMILY/model.py            the loaded model: prompts, noise prediction, latents, layers for a LoRA, memory
    FAMILY/sd_scripts.py       the vendored script that finetunes it, and what must be set in it
    FAMILY/__init__.py         the family, as `ModelFamily` says

A new one is a folder, a line in `layouts.py` and a line in FAMILIES. Nothing here imports torch before a model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pipeline.diffusion.families.layout import FamilyLayout
from pipeline.diffusion.families.layouts import layout_of
from pipeline.diffusion.families.sd1 import StableDiffusion1
from pipeline.diffusion.families.sdxl import StableDiffusionXLFamily

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from torch import nn

TrainParts = Literal["both", "unet", "text_encoder"]


class NoiseProcess(Protocol):
    """How training adds noise and sampling removes it; a schedule is a function of the step and the noise level sigma."""

    @property
    def train_steps(self) -> int:
        """Timesteps that training draws from: integers in [0, train_steps)."""

    @property
    def sampler_name(self) -> str:
        """The solver, as LoRA users' tools call it."""

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Mix latents and noise [B,C,h,w] at timesteps [B] -> what the network sees in training."""

    def loss(
        self, predicted: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, gamma: float | None
    ) -> torch.Tensor:
        """Return the training loss of a batch, a scalar in float32; `gamma`: min-SNR's, None without weights."""

    def times(self, steps: int) -> np.ndarray:
        """Return the network's time at each sampling step, [T]."""

    def noise_levels(self, steps: int) -> np.ndarray:
        """Return sigma at each sampling step and 0 after the last, [T + 1]."""

    def network_input(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Return the solver's x at `sigma`, scaled as the network was trained to see it."""

    def solve(
        self, predict: Callable[[torch.Tensor, int], torch.Tensor], sigmas: Sequence[float], noise: Iterator[torch.Tensor]
    ) -> torch.Tensor:
        """Integrate from noise of sigmas[0] to the sample at sigmas[-1]; `predict` gives the guided prediction at (x, step)."""


class DiffusionModel(Protocol):
    """A loaded model, frozen, on one device and in one dtype. Token ids are [N,...]: one row is all that an image is
    conditioned on, so condition drop puts the empty prompt's row in its place."""

    tokenizer: Any
    """The one that counts a prompt's tokens."""
    vae: Any

    @property
    def family(self) -> ModelFamily: ...
    @property
    def noise(self) -> NoiseProcess: ...
    @property
    def denoiser(self) -> Any:
        """The network that predicts, a module with `enable_gradient_checkpointing`."""

    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of latents and images that is fastest on the model's device."""

    @property
    def latent_channels(self) -> int: ...
    @property
    def pixels_per_latent(self) -> int: ...
    def to(self, device: torch.device | str, dtype: torch.dtype) -> DiffusionModel:
        """Move and cast all parts, but for those that stay in float32."""

    def move_to(self, device: torch.device | str, dtype: torch.dtype) -> DiffusionModel:
        """Do as `to` does, with the weights of convolutions in `memory_format`."""

    def tokenize(self, prompts: Sequence[str], max_token_length: int = ...) -> torch.Tensor:
        """Turn prompts into token ids, one row each, int64."""

    def encode(self, ids: torch.Tensor, clip_skip: int = ...) -> torch.Tensor:
        """Encode token ids -> conditions [N,S,d]. Raise UserError when `clip_skip` does not fit."""

    def predict(self, latents: torch.Tensor, times: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Predict from latents as of `network_input` [N,C,h,w], times [N] or [], conditions [N,S,d] -> [N,C,h,w]."""

    def fixed_prompts(self, condition: torch.Tensor, latents: int) -> AbstractContextManager[None]:
        """Let `predict` inside the block rely on this condition, one time for all rows, and so many latents an image."""

    def scale_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Turn the VAE's latents into those of diffusion."""

    def unscale_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Undo `scale_latents`."""

    def text_encoders(self) -> Mapping[str, nn.Module]:
        """Return {prefix of its layers' names in kohya's LoRA files: text encoder}."""

    def lora_blocks(self) -> frozenset[str]:
        """Return names of the denoiser's classes inside which a LoRA changes the layers."""

    def text_blocks(self) -> frozenset[str]:
        """Return the same of the text encoders' classes."""

    def lora_name(self, path: str) -> str:
        """Turn diffusers' path of a layer of the denoiser into its name in kohya's LoRA files, dots and no prefix."""

    @property
    def layers_per_block(self) -> int:
        """Resnets of one level of the denoiser on the way down, by which the original code numbers its blocks."""

    def prediction_bytes(self, latents: int) -> int:
        """Return an upper estimate of the memory that predicting takes for an image of so many latents, both branches."""

    def decoding_bytes(self, pixels: int) -> int:
        """Return an upper estimate of the memory that decoding so many pixels takes."""


class SdScripts(Protocol):
    """The vendored script that finetunes a family, in its process; a module."""

    SCRIPT: str
    TRAINER: str
    """The script's own class, which `trainer` corrects."""

    def set_sizes(self, model: str) -> None:
        """Give the script the sizes of the model in a local folder. Raise UserError when it can only have others."""

    def trainer(self, script: Any) -> type:
        """Return the script's trainer class, corrected where it must be."""


class ModelFamily(Protocol):
    """What is known of a family without a model; `key` of its layout is its name in records."""

    layout: FamilyLayout
    latent_scale: float
    """Latents are multiplied by it before diffusion, in sd-scripts whatever the VAE's config says, and so here."""
    base_model_version: str
    """As sd-scripts writes it into a LoRA's metadata."""
    a1111_version: str
    """A1111's name of its architecture, on a LoRA's card."""
    network_module: str
    """sd-scripts' module of LoRA layers."""
    sd_scripts_settings: Mapping[str, Any]
    """What train.toml says for this family alone."""
    sd_scripts_cpu_precisions: tuple[str, ...]

    @property
    def noise(self) -> NoiseProcess: ...
    @property
    def sd_scripts(self) -> SdScripts: ...
    def check_clip_skip(self, clip_skip: int) -> None:
        """Raise UserError for what no model of this family has."""

    def load(self, model: Path, vae: Path, dtype: torch.dtype | None) -> DiffusionModel:
        """Load a folder with the VAE of another onto the CPU; `dtype` None keeps each part as its file has it."""


FAMILIES: Mapping[str, ModelFamily] = {family.layout.key: family for family in (StableDiffusion1(), StableDiffusionXLFamily())}

DEFAULT = next(iter(FAMILIES))


def family_of(model: str | Path) -> ModelFamily:
    """Return the family of the model in this folder, by the parts that it has."""
    return FAMILIES[layout_of(model).key]
