"""Weights are safetensors: a pickle is refused with the command that converts it, and that command runs no code."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile.workplace import Make, Workplace

from pipeline.core.tensors import load_tensors, save_tensors

WEIGHTS = {"lora_unet_a.lora_down.weight": torch.arange(4.0).reshape(2, 2), "lora_unet_a.alpha": torch.tensor(2.0)}


class Attack:
    """Creates a file called "owned" when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("owned"),)  # type: ignore[return-value]


def saved(path: Path, content: object = WEIGHTS, zipped: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


CONVERT = "m.ckpt is a pickle, which can run any code when it is opened; convert it with 'redifine convert m.ckpt' and use"
ONE_FILE = "m.safetensors is one file, and a chain needs a folder in diffusers layout; run 'redifine base fetch m.safetensors'"
UNET, ENCODER = "unet/diffusion_pytorch_model.bin", "text_encoder/pytorch_model.bin"


def pickled(path: Path) -> None:
    """A part of a model that has its weights only as a pickle."""
    for weights in path.parent.glob("*.safetensors"):
        weights.unlink()
    saved(path)


BASES: dict[str, tuple[str, Make, str]] = {
    "one pickled file": ("m.ckpt", lambda root: saved(root / "m.ckpt"), CONVERT),
    "an older pickle": ("m.pt", lambda root: saved(root / "m.pt", zipped=False), "convert it with 'redifine convert m.pt'"),
    "a name to be quoted": ("m y;.ckpt", lambda root: saved(root / "m y;.ckpt"), "'redifine convert 'm y;.ckpt''"),
    "one safetensors file": ("m.safetensors", lambda root: save_tensors(root / "m.safetensors", WEIGHTS), ONE_FILE),
    "a pickled U-Net": ("models/base", lambda root: pickled(root / "models/base" / UNET), f"models/base/{UNET} is a pickle"),
    "a pickled text encoder": ("models/base", lambda root: pickled(root / "models/base" / ENCODER), f"{ENCODER} is a pickle"),
}


@pytest.mark.parametrize(("model", "make", "sentence"), BASES.values(), ids=list(BASES))
def test_a_base_model_that_could_run_code_is_refused(place: Workplace, model: str, make: Make, sentence: str) -> None:
    make(place.root)
    place.set(model=model)
    assert sentence in place.refused("prepare")


def test_a_pickled_vae_is_refused(place: Workplace) -> None:
    saved(place.root / "vae/diffusion_pytorch_model.bin")
    place.set(vae="vae")
    assert "vae/diffusion_pytorch_model.bin is a pickle" in place.refused("prepare")


def test_a_pickle_beside_safetensors_is_not_read_and_so_not_refused(place: Workplace) -> None:
    saved(place.root / "models/base" / UNET)
    place.run("prepare")


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(16)


def overlapping() -> bytes:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return header(json.dumps({"a": entry, "b": entry}).encode())


LORAS: dict[str, tuple[bytes, str]] = {
    "a pickle under another name": (pickle.dumps(Attack()), "is a pickle, which can run any code"),
    "zero bytes": (b"", "is not a whole safetensors file"),
    "a header of four exabytes": (header(b"{}", 2**62), "is not a whole safetensors file"),
    "a header that is no JSON": (header(b"{'a'}"), "is not a whole safetensors file"),
    "tensors that overlap": (overlapping(), "is not a whole safetensors file"),
    "tensors beyond the end": (overlapping()[:-8], "is not a whole safetensors file"),
}


@pytest.mark.parametrize(("content", "sentence"), LORAS.values(), ids=list(LORAS))
def test_a_lora_that_is_no_safetensors_is_refused(place: Workplace, tiny_model: Path, content: bytes, sentence: str) -> None:
    (place.root / "x.safetensors").write_bytes(content)
    (place.root / "p.txt").write_text("a creature\n")
    found = place.refused("sample", "--model", str(tiny_model), "--prompts", "p.txt", "--lora", "x.safetensors")
    assert found.startswith(f"x.safetensors {sentence}")
    assert not (place.root / "owned").exists() and not (place.root / "samples").exists()


def test_converting_keeps_the_tensors(place: Workplace) -> None:
    shared = torch.ones(3)
    saved(place.root / "a.ckpt", {"state_dict": WEIGHTS | {"b": shared, "c": shared}, "epoch": 3})
    place.run("convert", "a.ckpt")
    found, _ = load_tensors(place.root / "a.safetensors")
    assert found.keys() == {*WEIGHTS, "b", "c"}
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())


CHECKPOINTS: dict[str, tuple[Make, str]] = {
    "code": (lambda root: saved(root / "x.pt", Attack()), "x.pt holds more than tensors, and opening it could run code"),
    "code beside tensors": (lambda root: saved(root / "x.pt", WEIGHTS | {"x": Attack()}), "x.pt holds more than tensors"),
    "code in an older pickle": (lambda root: saved(root / "x.pt", Attack(), zipped=False), "x.pt holds more than tensors"),
    "a bare pickle": (lambda root: (root / "x.pt").write_bytes(pickle.dumps(Attack())), "x.pt holds more than tensors"),
    "a list of tensors": (lambda root: saved(root / "x.pt", [torch.ones(2)]), "x.pt holds no named tensors"),
    "half a file": (lambda root: (saved(root / "x.pt"), (root / "x.pt").write_bytes((root / "x.pt").read_bytes()[:200])),
                    "x.pt is damaged or no checkpoint of torch's"),
    "zero bytes": (lambda root: (root / "x.pt").write_bytes(b""), "x.pt is damaged or no checkpoint of torch's"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), CHECKPOINTS.values(), ids=list(CHECKPOINTS))
def test_converting_runs_no_code_and_says_what_it_cannot_read(place: Workplace, make: Make, sentence: str) -> None:
    make(place.root)
    assert sentence in place.refused("convert", "x.pt")
    assert not (place.root / "owned").exists() and not (place.root / "x.safetensors").exists()


def test_converting_overwrites_nothing(place: Workplace) -> None:
    saved(place.root / "x.pt")
    (place.root / "x.safetensors").write_text("mine")
    assert "x.safetensors is there already" in place.refused("convert", "x.pt")
