"""Tell from its tensors' names which model a single-file checkpoint is, and give it CLIP's tokenizer, which it lacks.

The tokenizer comes from a folder, a fetched model, or CLIP's own list.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.chain.model_names import FOLDER
from pipeline.core.errors import UserError
from pipeline.core.files import read_text, write_text
from pipeline.core.json_files import parse_json
from pipeline.core.tensors import TensorInfo, read_array, read_metadata
from pipeline.diffusion.families.layout import MERGES, VOCABULARY
from pipeline.diffusion.families.layouts import NAMES
from pipeline.diffusion.judgement.metadata import marker_fault, metadata_fault
from pipeline.diffusion.noise_schedule import alphas_cumprod
from pipeline.inputs.base_models.tokenizers import require_vocabulary

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
TEXT_XL, TEXT_XL_2 = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
"""How the keys of a single-file Stable Diffusion begin (CompVis's naming, and Stability's for XL)."""

_FOREIGN = {
    "double_blocks.": "Flux",
    "joint_blocks.": "Stable Diffusion 3",
    "cond_stage_model.model.": "Stable Diffusion 2",
    "conditioner.embedders.0.model.": "SDXL's refiner",
    "control_model.": "a ControlNet",
    "lora_": "a LoRA",
}


def single_file_kind(path: Path, tensors: Mapping[str, TensorInfo]) -> str:
    """Tell which of "sd1", "sdxl" and "vae" the file is. Raise UserError that says what it is instead, or lacks.

    It is judged by its tensors' names and its metadata, and by the noise schedule that some files carry.
    """
    if fault := metadata_fault(read_metadata(path)) or marker_fault(tensors):
        raise UserError(f"{path} is {fault}, and a chain needs {NAMES}; give one of these")
    for mark, what in _FOREIGN.items():
        if any(name.startswith(mark) or f".{mark}" in name for name in tensors):
            raise UserError(f"{path} is {what}, and a chain needs {NAMES}; give one of these")
    starts = [start for start in (UNET, VAE, TEXT, TEXT_XL, TEXT_XL_2) if any(name.startswith(start) for name in tensors)]
    if starts == [VAE] or (not starts and "encoder.conv_in.weight" in tensors):
        return "vae"
    kind = "sdxl" if TEXT_XL_2 in starts else "sd1"
    needed = (UNET, VAE, TEXT_XL, TEXT_XL_2) if kind == "sdxl" else (UNET, VAE, TEXT)
    if not starts:
        raise UserError(f"{path} is no Stable Diffusion checkpoint (its first tensor is {min(tensors, default='none')})")
    if missing := [start.removesuffix(".") for start in needed if start not in starts]:
        raise UserError(f"{path} has no {', '.join(missing)}, so it is no whole Stable Diffusion; give a full checkpoint")
    channels = tensors.get(f"{UNET}input_blocks.0.0.weight", TensorInfo("", (0, 0))).shape[1]
    if channels != 4:
        raise UserError(f"{path} takes {channels} channels (4: text to image; 9: inpainting); give a text-to-image model")
    _require_known(path, tensors)
    return kind


_KNOWN = re.compile(
    r"model\.diffusion_model\.|first_stage_model\.|cond_stage_model\.|conditioner\.embedders\.[01]\.|model_ema\."
    r"|embedding_manager\.|(alphas_cumprod(_prev)?|betas|sqrt_\w+|log_one_minus_\w+|posterior_\w+|logvar|lvlb_weights"
    r"|scale_factor|global_step|denoiser\.sigmas)$"
)
"""How the names of a whole checkpoint's tensors begin, with the tables of its noise and what its training kept."""


def _require_known(path: Path, tensors: Mapping[str, TensorInfo]) -> None:
    """Raise UserError for tensors whose meaning is not known, and for a table of another noise than ours."""
    if odd := sorted(name for name in tensors if not _KNOWN.match(name)):
        raise UserError(
            f"{path} has {len(odd)} tensors that are not known here ({odd[0]}{', ...' if odd[1:] else ''}); "
            "take them out of a copy if the model is right without them, or give another checkpoint"
        )
    left = alphas_cumprod()
    for name, own in (("alphas_cumprod", left), ("denoiser.sigmas", ((1 - left) / left) ** 0.5)):
        if name in tensors:
            found = np.sort(read_array(path, name).astype(np.float64).ravel())
            if found.shape != own.shape or not np.allclose(found, np.sort(own), rtol=0.01, atol=1e-3):
                raise UserError(
                    f"{path} was trained on another noise schedule (its {name}), and a chain needs {NAMES}; give another"
                )


_CLIP_MERGES = 49152 - 256 - 2
"""How many lines of bpe_simple_vocab_16e6.txt CLIP uses: its vocabulary without the 256 bytes, twice, and two marks."""


def find_vocabulary(root: Path, given: Path | None, size: int) -> tuple[str, list[str]]:
    """Return (source, [vocab.json, merges.txt]) of a tokenizer with `size` tokens, the files as texts.

    `given` is a folder that holds both, or CLIP's bpe_simple_vocab_16e6.txt(.gz); without it, a model below models/base
    lends its own. Raise UserError when there is none, or none of that size.
    """
    if given is None:
        places = (folder for name in ("tokenizer", "") for folder in sorted((root / FOLDER).glob(f"*/{name}")))
        given = next((place for place in places if _fits(place, size)), None)
    if given is None:
        raise UserError(
            "a single-file checkpoint has no tokenizer, and no fetched model has one to lend; give --tokenizer FOLDER (with "
            "vocab.json and merges.txt), or run 'redifine base fetch clip-vit-large-patch14' first"
        )
    texts = _of_folder(given) if given.is_dir() else _of_clip(given)
    if (found := len(parse_json(texts[0]))) != size:
        raise UserError(f"{given} has {found} tokens, but the checkpoint's text encoder knows {size}; give its own tokenizer")
    return given.name, texts


def _fits(folder: Path, size: int) -> bool:
    if not (folder / VOCABULARY).is_file() or not (folder / MERGES).is_file():
        return False
    return len(parse_json(_of_folder(folder)[0])) == size


def _of_folder(folder: Path) -> list[str]:
    require_vocabulary(folder)
    texts = [read_text(folder / name) for name in (VOCABULARY, MERGES)]
    try:
        if not isinstance(parse_json(texts[0]), dict):
            raise ValueError("no mapping")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder / VOCABULARY} is no vocabulary ({error}); give another tokenizer") from error
    return texts


def _of_clip(path: Path) -> list[str]:
    """Return vocab.json and merges.txt from the list of merges that OpenAI's CLIP and open_clip carry in their packages."""
    import pipeline.core.compat  # noqa: F401  (before transformers)

    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    try:
        lines = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); give a folder with vocab.json and merges.txt") from error
    merges = lines.split("\n")[1 : _CLIP_MERGES + 1]
    if len(merges) != _CLIP_MERGES or any(len(line.split()) != 2 for line in merges):
        raise UserError(f"{path} is not CLIP's bpe_simple_vocab_16e6.txt; give a folder with vocab.json and merges.txt")
    letters = bytes_to_unicode().values()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(line.split()) for line in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    # As openai/clip-vit-large-patch14 has it, byte for byte.
    vocabulary = json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False, separators=(",", ":"))
    return [vocabulary, "\n".join(["#version: 0.2", *merges, ""])]


def write_tokenizer(folder: Path, texts: list[str], config: dict[str, Any]) -> None:
    """Write a tokenizer that CLIPTokenizer reads; `config` names its marks (SDXL's second pads with "!", not the end mark)."""
    for name, text in zip((VOCABULARY, MERGES), texts, strict=True):
        write_text(folder / name, text)
    write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")
    marks = {key: value for key, value in config.items() if key.endswith("_token")}
    write_text(folder / "special_tokens_map.json", json.dumps(marks, indent=2, sort_keys=True) + "\n")
