"""A single-file checkpoint becomes the same model in diffusers layout, tensor for tensor, or is refused in a sentence."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from inputs.base_models.originals import sd1_file, sdxl_file, vae_keys
from pipeline.core.errors import UserError
from pipeline.diffusion.judgement.recognise import recognise
from pipeline.diffusion.models import load_base
from pipeline.inputs.base_models import fetch
from tiny import write_tiny_xl

Tensors = dict[str, torch.Tensor]


def weights(folder: Path, part: str) -> Tensors:
    return load_file(next((folder / part).glob("*.safetensors")))


def configs(model: Path) -> dict[str, Any]:
    """The configs of a model's parts, as `published` gives those of the true sizes."""
    names = {path.parent.name: path for path in model.glob("*/*config.json") if path.parent.name != "clip"}
    return {part: json.loads(path.read_text()) for part, path in names.items()} | {
        "model_index": json.loads((model / "model_index.json").read_text())
    }


def original(model: Path, kind: str = "sd1", dtype: torch.dtype = torch.float32) -> Tensors:
    parts = {part: weights(model, part) for part in ("unet", "vae", "text_encoder")}
    parts["unet"] = {name: tensor.to(dtype) for name, tensor in parts["unet"].items()}
    if kind == "sdxl":
        return sdxl_file(**parts, text_encoder_2=weights(model, "text_encoder_2"))
    return sd1_file(**parts)


def write(file: Path, tensors: Tensors) -> Path:
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, file)
    return file


def assert_equal(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    assert {tensor.dtype for tensor in found.values()} == {tensor.dtype for tensor in expected.values()}


def convert(root: Path, file: Path, model: Path) -> fetch.Fetched:
    return fetch.fetch(str(file), root, tokenizer=model / "tokenizer", configs=configs(model))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
def test_every_tensor_of_stable_diffusion_comes_through(root: Path, tiny_model: Path, dtype: torch.dtype) -> None:
    file = write(root / "mine.safetensors", original(tiny_model, dtype=dtype))
    fetched = convert(root, file, tiny_model)
    for part in ("vae", "text_encoder"):
        assert_equal(weights(fetched.folder, part), weights(tiny_model, part))
    assert_equal(weights(fetched.folder, "unet"), {k: v.to(dtype) for k, v in weights(tiny_model, "unet").items()})
    assert recognise(fetched.folder).kind == fetched.record["kind"] == "sd1"
    assert load_base(fetched.folder).tokenizer("a tall green creature").input_ids == load_base(tiny_model).tokenizer(
        "a tall green creature"
    ).input_ids  # fmt: skip
    assert fetched.record["source"].keys() == {"file", "sha256", "tokenizer"} and fetched.record["source"]["file"] == file.name
    assert convert(root, file, tiny_model).was_here


def test_the_first_checkpoints_name_the_text_encoder_otherwise(root: Path, tiny_model: Path) -> None:
    old = {name.replace("transformer.text_model.", "transformer."): tensor for name, tensor in original(tiny_model).items()}
    fetched = convert(root, write(root / "old.safetensors", old), tiny_model)
    assert_equal(weights(fetched.folder, "text_encoder"), weights(tiny_model, "text_encoder"))


def test_every_tensor_of_sdxl_comes_through(root: Path, tmp_path: Path) -> None:
    model = write_tiny_xl(tmp_path / "xl")
    fetched = convert(root, write(root / "xl.safetensors", original(model, "sdxl")), model)
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        assert_equal(weights(fetched.folder, part), weights(model, part))
    second = json.loads((fetched.folder / "tokenizer_2/special_tokens_map.json").read_text())["pad_token"]
    assert second in ("!", {"content": "!"})


@pytest.mark.parametrize("prefix", ["", "first_stage_model."], ids=["bare", "as in a whole model"])
def test_a_single_file_vae_becomes_a_folder(root: Path, tiny_model: Path, prefix: str) -> None:
    tensors = {f"{prefix}{name}": tensor for name, tensor in vae_keys(weights(tiny_model, "vae")).items()}
    fetched = convert(root, write(root / "vae.safetensors", tensors), tiny_model)
    assert fetched.record["kind"] == recognise(fetched.folder).kind == "vae"
    assert_equal(load_file(fetched.folder / "diffusion_pytorch_model.safetensors"), weights(tiny_model, "vae"))


def renamed(tensors: Tensors, old: str, new: str) -> Tensors:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def without(tensors: Tensors, start: str) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(start)}


CONV_IN = "model.diffusion_model.input_blocks.0.0.weight"
FAULTS = {
    "Stable Diffusion 2": (lambda t: renamed(t, "stage_model.transformer.", "stage_model.model."), "is Stable Diffusion 2"),
    "Flux": (lambda t: {"double_blocks.0.img_attn.qkv.weight": torch.ones(2)}, "is Flux"),
    "Stable Diffusion 3": (lambda t: {"model.diffusion_model.joint_blocks.0.x": torch.ones(2)}, "is Stable Diffusion 3"),
    "a LoRA": (lambda t: {"lora_unet_a.lora_down.weight": torch.ones(2)}, "is a LoRA"),
    "inpainting": (lambda t: t | {CONV_IN: torch.ones(32, 9, 3, 3)}, "takes 9 channels"),
    "the U-Net alone": (lambda t: without(without(t, "first_stage_model."), "cond_stage_model."),
                        "has no first_stage_model, cond_stage_model.transformer"),
    "something else": (lambda t: {"a": torch.ones(2)}, "is no Stable Diffusion checkpoint (its first tensor is a)"),
    "a missing layer": (lambda t: without(t, "model.diffusion_model.middle_block.1."), "lacks tensors of the unet"),
    "another width": (lambda t: t | {CONV_IN: torch.ones(64, 4, 3, 3)}, "does not hold the unet that its keys promise"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), FAULTS.values(), ids=list(FAULTS))
def test_a_file_that_is_no_whole_model_is_refused(root: Path, tiny_model: Path, change: Any, sentence: str) -> None:
    file = write(root / "x.safetensors", change(original(tiny_model)))
    with pytest.raises(UserError) as error:
        convert(root, file, tiny_model)
    assert sentence in str(error.value) and "\n" not in str(error.value)
    assert not (root / "models/base/x").exists()


def test_a_truncated_file_is_refused(root: Path, tiny_model: Path) -> None:
    file = write(root / "x.safetensors", original(tiny_model))
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UserError, match="is not a whole safetensors file .*fetch or make it again"):
        convert(root, file, tiny_model)


def test_a_pickle_is_refused_with_the_command_that_converts_it(root: Path, tiny_model: Path) -> None:
    torch.save({"state_dict": original(tiny_model)}, root / "x.ckpt")
    with pytest.raises(UserError, match="redifine convert x.ckpt"):
        convert(root, Path("x.ckpt"), tiny_model)


def test_without_a_tokenizer_it_is_said_how_to_give_one(root: Path, tiny_model: Path) -> None:
    file = write(root / "x.safetensors", original(tiny_model))
    with pytest.raises(UserError, match="give --tokenizer FOLDER"):
        fetch.fetch(str(file), root, configs=configs(tiny_model))


def test_a_fetched_model_lends_its_tokenizer(root: Path, tiny_model: Path) -> None:
    first = convert(root, write(root / "a.safetensors", original(tiny_model)), tiny_model)
    second = fetch.fetch(str(write(root / "b.safetensors", original(tiny_model))), root, configs=configs(tiny_model))
    assert (second.folder / "tokenizer/merges.txt").read_bytes() == (first.folder / "tokenizer/merges.txt").read_bytes()


def test_a_tokenizer_of_another_vocabulary_is_refused(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "tokenizer"
    other.mkdir()
    (other / "vocab.json").write_text('{"a": 0}')
    (other / "merges.txt").write_text("#version: 0.2\n")
    file = write(root / "x.safetensors", original(tiny_model))
    with pytest.raises(UserError, match="has 1 tokens, but the checkpoint's text encoder knows"):
        fetch.fetch(str(file), root, tokenizer=other, configs=configs(tiny_model))


def test_clips_own_list_of_merges_gives_clips_vocabulary(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    from pipeline.inputs.base_models.single_file import find_vocabulary, write_tokenizer

    # Not CLIP's merges, which are not here, but as many, and of its form.
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = [f"{a}{b} {c}{d}" for a in letters for b in letters for c in letters for d in letters][: 49152 - 256 - 2 - 676]
    merges = [f"{a} {b}" for a in letters for b in letters] + pairs
    file = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    file.write_bytes(gzip.compress("\n".join(['"bpe_simple_vocab_16e6.txt#version: 0.2', *merges, "x y", ""]).encode()))
    source, texts = find_vocabulary(tmp_path, file, 49408)
    write_tokenizer(tmp_path / "tokenizer", texts, {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
                                                    "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"})  # fmt: skip
    tokenizer = CLIPTokenizer.from_pretrained(str(tmp_path / "tokenizer"))
    assert source == file.name
    # "!" is byte 0x21, the first of the visible ones; words end in their own letters, 256 further on.
    assert tokenizer("!").input_ids == [49406, 256, 49407]
    assert tokenizer.convert_tokens_to_ids(["!", "a", "!</w>", "ab"]) == [0, ord("a") - ord("!"), 256, 513]
