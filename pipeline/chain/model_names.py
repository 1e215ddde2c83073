"""The models that the paper's runs need, by name: where they are, at which revision, under which terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class CatalogueEntry:
    """One model on the hub; `sha256` has the published hashes of its weights, by their names there, so that no mirror can
    give others."""

    name: str
    purpose: str
    repository: str
    revision: str
    licence: str
    gigabytes: float
    vae: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)


_SD15 = {
    "text_encoder/model.safetensors": "d008943c017f0092921106440254dbbe00b6a285f7883ec8ba160c3faad88334",
    "unet/diffusion_pytorch_model.safetensors": "19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1",
    "vae/diffusion_pytorch_model.safetensors": "a2b5134f4dbc140d9c11f11cba3233099e00af40f262f136c691fb7d38d2194c",
}
_SDXL = {
    "text_encoder/model.fp16.safetensors": "660c6f5b1abae9dc498ac2d21e1347d2abdb0cf6c0c0c8576cd796491d9a6cdd",
    "text_encoder_2/model.fp16.safetensors": "ec310df2af79c318e24d20511b601a591ca8cd4f1fce1d8dff822a356bcdb1f4",
    "unet/diffusion_pytorch_model.fp16.safetensors": "83e012a805b84c7ca28e5646747c90a243c65c8ba4f070e2d7ddc9d74661e139",
    "vae/diffusion_pytorch_model.fp16.safetensors": "bcb60880a46b63dea58e9bc591abe15f8350bde47b405f9c38f4be70c6161e68",
}
_FT_MSE = {"diffusion_pytorch_model.safetensors": "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815"}
_DINO = {"model.safetensors": "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23"}

_ENTRIES = (
    CatalogueEntry("sd15", "M_0 of the paper: Stable Diffusion 1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5",
          "451f4fe16113bff5a5d2269ed5ad43b0592e9a14", "creativeml-openrail-m", 4.3, "sd-vae-ft-mse", _SD15),
    CatalogueEntry("sdxl", "M_0 of appendix C.11: Stable Diffusion XL", "stabilityai/stable-diffusion-xl-base-1.0",
          "462165984030d82259a11f4367a4eed129e94a7b", "openrail++", 13.9, None, _SDXL),
    CatalogueEntry("sd-vae-ft-mse", "the VAE that the paper puts in SD 1.5's place", "stabilityai/sd-vae-ft-mse",
          "31f26fdeee1355a5c34592e401dd41e45d25a493", "mit", 0.3, None, _FT_MSE),
    CatalogueEntry("sdxl-vae-fp16-fix", "SDXL's VAE, made to work in fp16", "madebyollin/sdxl-vae-fp16-fix",
          "207b116dae70ace3637169f1ddd2434b91b3a8cd", "mit", 0.3),
    CatalogueEntry("dinov2-large", "features of FID, precision and recall", "facebook/dinov2-large",
          "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c", "apache-2.0", 1.2, None, _DINO),
    CatalogueEntry("clip-vit-large-patch14", "the CLIP score; the tokenizer of single-file checkpoints",
          "openai/clip-vit-large-patch14", "32bd64288804d66eefd0ccbe215aa642df71cc41",
          "none stated on the hub (OpenAI's code: MIT)", 1.7),
    CatalogueEntry("blip", "captions of data sets", "Salesforce/blip-image-captioning-large",
          "353689b859fcf0523410b1806dace5fb46ecdf41", "bsd-3-clause", 1.9),
)  # fmt: skip

CATALOGUE: Mapping[str, CatalogueEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})

LOCAL = "sd15-local"
"""What a copy of SD 1.5 of one's own is called: a folder or a single file that `redifine base fetch` is given."""


FOLDER = Path("models/base")
"""Where fetched models are, below the project's root."""


HUB_ID = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w.-][\w./-]*))?")


def fault_of_setting(value: str | None) -> str | None:
    """Why `model` or `vae` (params.yaml) cannot be `value`, whatever is on the disk; None when it can be a folder's path."""
    if value == LOCAL:
        return (
            f"{value} stands for a copy of your own; run 'redifine base fetch FOLDER_OR_FILE --name {value}' and "
            f"set {FOLDER.as_posix()}/{value}"
        )
    if value is None or (value not in CATALOGUE and "@" not in value):
        return None
    if value not in CATALOGUE and not HUB_ID.fullmatch(value):
        return None
    name = value if value in CATALOGUE else value.partition("@")[0].partition("/")[2]
    return f"{value} is a name, not a folder; run 'redifine base fetch {value}' and set {FOLDER.as_posix()}/{name}"
