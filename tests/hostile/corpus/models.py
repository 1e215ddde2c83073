"""Models, VAEs and LoRAs by their configs and headers: what is not known to be drawn right is refused by name."""

from __future__ import annotations

import json
import struct
from typing import Any

from hostile.corpus.row import Bring, Refused, Row, files, params, together
from hostile.workplace import Workplace


def config(part: str, name: str = "config.json", **changes: Any) -> Bring:
    """Change a config of the base model."""

    def bring(place: Workplace) -> None:
        path = place.root / "models/base" / part / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return bring


def scheduler(**changes: Any) -> Bring:
    return config("scheduler", "scheduler_config.json", **changes)


def without(name: str) -> Bring:
    return lambda place: (place.root / "models/base" / name).unlink()


def header(tensors: dict[str, list[int]], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file of tensors of zeros."""
    entries: dict[str, Any] = {"__metadata__": metadata or {}}
    end = 0
    for name, shape in tensors.items():
        size = 4
        for side in shape:
            size *= side
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


LORA = ("sample", "--model", "tiny", "--prompts", "p.txt", "--lora", "x.safetensors", "--steps", "1")


def lora(content: bytes) -> Bring:
    return files({"x.safetensors": content, "p.txt": "a creature\n"}, "")


ONE_FILE = "m.safetensors is one file, and a chain needs a folder in diffusers layout; run 'redifine base fetch m.safetensors'"
ROWS = [
    Row("a model of v-prediction", scheduler(prediction_type="v_prediction"), Refused("v_prediction")),
    Row("a model of zero terminal SNR", scheduler(rescale_betas_zero_snr=True), Refused("a model of zero terminal SNR")),
    Row("a model with an EDM scheduler", scheduler(_class_name="EDMEulerScheduler"), Refused("EDMEulerScheduler")),
    Row(
        "a model with an LCM's U-Net",
        config("unet", time_cond_proj_dim=256),
        Refused("a distilled model whose guidance is built in (LCM)"),
    ),
    Row("an inpainting model", config("unet", in_channels=9), Refused("a model that takes 9 channels")),
    Row("an instruct-pix2pix model", config("unet", in_channels=8), Refused("a model that takes 8 channels")),
    Row("Stable Diffusion 2", config("unet", cross_attention_dim=1024), Refused("a U-Net for text 1024 wide")),
    Row("a VAE of 16 channels", config("vae", latent_channels=16), Refused("latent_channels: 16")),
    Row("a VAE with means of latents", config("vae", latents_mean=[0.0] * 4, latents_std=[1.0] * 4), Refused("latents_mean")),
    Row("a model without a U-Net", without("unet/config.json"), Refused("models/base cannot be used: ")),
    Row("a model without a vocabulary", without("tokenizer/vocab.json"), Refused("tokenizer/vocab.json is missing")),
    Row("a config that is no JSON", files({"models/base/unet/config.json": "{'a'}"}, ""), Refused("cannot be read as JSON")),
    Row(
        "one safetensors file as the model",
        together(files({"m.safetensors": header({"w": [1]})}, ""), params(model="m.safetensors")),
        Refused(ONE_FILE),
    ),
    Row(
        "one pickle as the model",
        together(files({"m.ckpt": b"\x80\x02pickle"}, ""), params(model="m.ckpt")),
        Refused("m.ckpt is a pickle, which can run any code when it is opened; convert it with 'redifine convert m.ckpt'"),
    ),
    Row("no model", params(model="models/none"), Refused("models/none")),
    Row("a LoRA of zero bytes", lora(b""), Refused("x.safetensors is not a whole safetensors file"), LORA),
    Row(
        "a LoRA that is half there",
        lora(header({"lora_unet_a.lora_down.weight": [4, 4]})[:-8]),
        Refused("x.safetensors is not a whole safetensors file"),
        LORA,
    ),
    Row("a LoRA that is a pickle", lora(b"\x80\x04N."), Refused("x.safetensors is a pickle, which can run any code"), LORA),
    Row(
        "a LoRA of other layers",
        lora(header({f"lora_unet_nowhere.{half}.weight": [4, 4] for half in ("lora_down", "lora_up")})),
        Refused("nowhere', which the model does not have"),
        LORA,
    ),
    Row("a LoHa", lora(header({"lora_unet_a.hada_w1_a": [4, 4]})), Refused("x.safetensors"), LORA),
    Row("an embedding as a LoRA", lora(header({"emb_params": [1, 32]})), Refused("x.safetensors"), LORA),
]
