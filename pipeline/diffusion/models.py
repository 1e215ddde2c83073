"""M_0: load a Stable Diffusion 1.x or an SDXL in diffusers layout."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, ModelMixin, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline.core.errors import UserError
from pipeline.core.randomness import to_device
from pipeline.core.weights import loading, no_model, refuse_pickles
from pipeline.diffusion import text

LATENT_SCALE = 0.18215
"""Latents are multiplied by this before diffusion, in sd-scripts whatever the VAE's config says, and so here."""

XL_LATENT_SCALE = 0.13025
"""The same for SDXL."""

BETA_START, BETA_END, TRAIN_STEPS = 0.00085, 0.012, 1000
"""Stable Diffusion's noise schedule, "scaled_linear" in diffusers' words; SDXL's too."""

_WEIGHTS = re.compile(r"(diffusion_pytorch_)?model(-\d+-of-\d+)?\.safetensors")
_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16}


@dataclass
class StableDiffusion:
    """The four parts of a text-to-image model, on one device and in one dtype, not requiring gradients."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel

    family: ClassVar[str] = "Stable Diffusion 1.x"
    latent_scale: ClassVar[float] = LATENT_SCALE

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def latent_channels(self) -> int:
        return int(self.unet.config.in_channels)

    @property
    def pixels_per_latent(self) -> int:
        """How many pixels, in each direction, one latent covers (8)."""
        return pixels_per_latent(self.vae.config.block_out_channels)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> StableDiffusion:
        for part in (self.text_encoder, self.vae, self.unet):
            _cast(part, device, dtype)
        return self

    @property
    def layout(self) -> torch.memory_format:
        """Of latents and images, the memory layout that is fastest on the model's device."""
        return torch.contiguous_format if self.device.type == "cpu" else torch.channels_last

    def place(self, device: torch.device | str, dtype: torch.dtype) -> StableDiffusion:
        """As `to`, with the weights of convolutions in `layout`."""
        self.to(device, dtype)
        for part in (self.unet, self.vae):
            part.to(memory_format=self.layout)
        return self

    def tokenize(self, prompts: Sequence[str], max_token_length: int = text.CHUNK) -> torch.Tensor:
        """Prompts -> token ids [N,C,77] int64."""
        return text.tokenize(self.tokenizer, prompts, max_token_length)

    def encode(self, ids: torch.Tensor, clip_skip: int = 2) -> torch.Tensor:
        """Token ids as of `tokenize` -> conditions [N,S,d]. Raises UserError when `clip_skip` does not fit."""
        return text.encode(self.text_encoder, ids, clip_skip)

    def states(self, condition: torch.Tensor) -> torch.Tensor:
        """What cross-attention sees of a condition, [N,S,d]."""
        return condition

    def predict_noise(self, latents: torch.Tensor, times: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Latents [N,4,h,w] of variance 1, times [N] or [], conditions [N,S,d] -> noise [N,4,h,w]."""
        return self.unet(latents, times, encoder_hidden_states=condition, return_dict=False)[0]


@dataclass
class StableDiffusionXL(StableDiffusion):
    """SDXL: two tokenizers and two text encoders; the VAE stays in float32, because it overflows in half precision."""

    tokenizer_2: CLIPTokenizer
    text_encoder_2: CLIPTextModelWithProjection

    family: ClassVar[str] = "SDXL"
    latent_scale: ClassVar[float] = XL_LATENT_SCALE

    def to(self, device: torch.device | str, dtype: torch.dtype) -> StableDiffusion:
        for part in (self.text_encoder, self.text_encoder_2, self.unet):
            _cast(part, device, dtype)
        _cast(self.vae, device, torch.float32)
        return self

    def tokenize(self, prompts: Sequence[str], max_token_length: int = text.CHUNK) -> torch.Tensor:
        """Prompts -> token ids of both tokenizers [N,2,C,77] int64."""
        both = (self.tokenizer, self.tokenizer_2)
        return torch.stack([text.tokenize(tokenizer, prompts, max_token_length) for tokenizer in both], dim=1)

    def encode(self, ids: torch.Tensor, clip_skip: int = 2) -> torch.Tensor:
        """Token ids [N,2,C,77] -> conditions [N,S+1,d]: states, and the pooled embedding as the last row (`text.encode_xl`)."""
        text.check_clip_skip_xl(clip_skip)
        return text.encode_xl(self.text_encoder, self.text_encoder_2, ids)

    def states(self, condition: torch.Tensor) -> torch.Tensor:
        return condition[:, :-1]

    def predict_noise(self, latents: torch.Tensor, times: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """As for Stable Diffusion 1.x. The time ids say that the image was never larger nor cropped, as sd-scripts' do."""
        width = int(self.text_encoder_2.config.projection_dim)
        states, pooled = text.split_xl(condition.to(latents.dtype), width)
        size = [side * self.pixels_per_latent for side in latents.shape[-2:]]
        ids = to_device(latents.device, torch.tensor([*size, 0, 0, *size], dtype=torch.float32)).expand(len(latents), -1)
        added = {"text_embeds": pooled, "time_ids": ids}
        return self.unet(latents, times, encoder_hidden_states=states, added_cond_kwargs=added, return_dict=False)[0]


def check_precision(precision: str, device: torch.device | str) -> None:
    """Raise UserError for bf16 on a GPU that is older than it (before Ampere): cuDNN would end in words that name no cause."""
    device = torch.device(device)
    if precision == "bf16" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        raise UserError(f"{torch.cuda.get_device_name(device)} computes no bf16; set precision: fp16 or fp32")


def is_xl(model: str | Path) -> bool:
    """Whether the model in this folder is an SDXL: it alone has a second text encoder."""
    return (Path(model) / "text_encoder_2").is_dir()


def load_base(model: str | Path, vae: str | Path | None = None, dtype: torch.dtype | None = torch.float32) -> StableDiffusion:
    """Load M_0 from a diffusers folder to_device the CPU, the VAE replaced by `vae` when given.

    `dtype` None keeps each part as its file has it, which takes the least memory; an SDXL's VAE is in float32 in any case.
    Raises UserError when a part is missing or damaged, or the VAE belongs to another kind of model.
    """
    xl = is_xl(model)
    encoders = ("text_encoder", "text_encoder_2") if xl else ("text_encoder",)
    tokenizers = ("tokenizer", "tokenizer_2") if xl else ("tokenizer",)
    own_vae = () if vae else ("vae",)
    refuse_pickles(Path(model), (*encoders, "unet", *own_vae))
    if vae:
        refuse_pickles(Path(vae))
    _check_folders(model, vae, (*tokenizers, *encoders, "unet", *own_vae))
    folder, vae_folder = Path(model), Path(vae) if vae else Path(model) / "vae"
    tokenizer = _load(CLIPTokenizer, folder / "tokenizer")
    text_encoder = _load_weights(CLIPTextModel, folder / "text_encoder", dtype)
    autoencoder = _load_weights(AutoencoderKL, vae_folder, torch.float32 if xl else dtype)
    unet = _load_weights(UNet2DConditionModel, folder / "unet", dtype)
    _check_vae(autoencoder, xl, vae_folder)
    if not xl:
        return StableDiffusion(tokenizer, text_encoder, autoencoder, unet)
    second = _load_weights(CLIPTextModelWithProjection, folder / "text_encoder_2", dtype)
    return StableDiffusionXL(tokenizer, text_encoder, autoencoder, unet, _second_tokenizer(folder), second)


@dataclass(frozen=True)
class Outline:
    """What a model is, without its weights."""

    tokenizer: CLIPTokenizer
    """The first one, where there are two."""
    pixels_per_latent: int
    side: int
    """Width and height, in pixels, of the images that it was made for."""


def outline(model: str | Path) -> Outline:
    """Read the small files of a diffusers folder. Raises UserError when one is missing or damaged."""
    _check_folders(model, None, ("tokenizer", "unet", "vae"))
    folder = Path(model)
    cell = pixels_per_latent(_setting(AutoencoderKL, folder / "vae", "block_out_channels"))
    side = int(_setting(UNet2DConditionModel, folder / "unet", "sample_size")) * cell
    return Outline(_load(CLIPTokenizer, folder / "tokenizer"), cell, side)


def pixels_per_latent(widths: Sequence[int]) -> int:
    """Of a VAE whose blocks have these widths: each but the last halves the image."""
    return 2 ** (len(widths) - 1)


def _setting(kind: Any, folder: Path, key: str) -> Any:
    """One value of a part's config."""
    try:
        return kind.load_config(str(folder))[key]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"cannot read {key} in {folder}/config.json; fetch the model again") from error


def _check_folders(model: str | Path, vae: str | Path | None, parts: Sequence[str]) -> None:
    if not Path(model).is_dir():
        raise no_model(model)
    if vae and not Path(vae).is_dir():
        raise UserError(f"there is no folder {vae}; name one that holds a VAE in diffusers layout, or set vae to null")
    for part in parts:
        if not (Path(model) / part).is_dir():
            raise UserError(f"{model} has no folder {part}, so it is no complete model in diffusers layout; fetch it again")


def _check_vae(vae: AutoencoderKL, xl: bool, folder: Path) -> None:
    """Raise UserError for a VAE of the other family: its latents mean something else, and nothing later would say so."""
    own, other = (StableDiffusionXL, StableDiffusion) if xl else (StableDiffusion, StableDiffusionXL)
    if vae.config.scaling_factor == other.latent_scale:
        raise UserError(f"{folder} is a VAE of {other.family}, the model is {own.family}; set vae to one of its kind, or null")


def _second_tokenizer(folder: Path) -> CLIPTokenizer:
    """SDXL's second tokenizer pads with token 0, as sd-scripts makes it do, whatever its files say."""
    tokenizer = _load(CLIPTokenizer, folder / "tokenizer_2")
    tokenizer.pad_token_id = 0
    return tokenizer


def _load_weights(kind: Any, folder: Path, dtype: torch.dtype | None) -> Any:
    """A part with weights, in `dtype`, or in its file's for None; frozen."""
    option = "torch_dtype" if issubclass(kind, ModelMixin) else "dtype"
    return _load(kind, folder, **{option: dtype or _stored_dtype(folder)}).eval().requires_grad_(False)


def _stored_dtype(folder: Path) -> torch.dtype:
    """The dtype of the first weight in a part's file; float32 for all but the half precisions."""
    for path in sorted(folder.glob("*.safetensors")):
        if _WEIGHTS.fullmatch(path.name):
            try:
                with safe_open(path, framework="pt") as file:
                    return _DTYPES.get(file.get_slice(next(iter(file.keys()))).get_dtype(), torch.float32)
            except (SafetensorError, StopIteration, OSError) as error:
                raise UserError(f"cannot read {path}: {error}; fetch the model again") from error
    return torch.float32


def _load(kind: Any, folder: Path, **options: Any) -> Any:
    with loading(f"{kind.__name__} from {folder}", "fetch or make it again"):
        return kind.from_pretrained(str(folder), **options)


def _cast(part: nn.Module, device: torch.device | str, dtype: torch.dtype) -> None:
    # Not part.to(): diffusers' own warns at every cast.
    nn.Module.to(part, device=device, dtype=dtype)
