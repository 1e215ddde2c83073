"""CLIP's tokenizers of a base model: check their vocabulary, and lay them out for sd-scripts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, read_text, sha256_bytes, sha256_file, write_text
from pipeline.core.json_files import parse_json
from pipeline.diffusion.families.layout import FAST, MERGES, VOCABULARY
from pipeline.diffusion.families.layouts import layout_of


def sd_scripts_folder(model: Path, scratch: Path) -> Path:
    """Return where `lay_out_for_sd_scripts` puts the tokenizers of `model`: a folder below `scratch`, named by their content.

    Raise UserError when the model has no tokenizer that CLIPTokenizer reads.
    """
    return scratch / "tokenizer" / sha256_bytes("".join(_hashes(model)).encode())[:12]


def lay_out_for_sd_scripts(model: Path, scratch: Path) -> Path:
    """Copy the tokenizer of a Stable Diffusion, or both of SDXL, to where sd-scripts finds them without a hub.

    Return the folder to give as `tokenizer_cache_dir`: `scratch`/tokenizer/HASH. What is there already stays.
    Raise UserError when the model has no tokenizer that CLIPTokenizer reads.
    """
    target = sd_scripts_folder(model, scratch)
    if not target.is_dir():
        with atomic_folder(target) as folder:
            for part in _parts(model):
                shutil.copytree(model / part, folder / layout_of(model).tokenizers[part])
    return target


def _parts(model: Path) -> list[str]:
    """List the model's tokenizers, which are there and whole."""
    found = list(layout_of(model).tokenizers)
    for part in found:
        require_vocabulary(model / part)
    return found


def _hashes(model: Path) -> list[str]:
    files = [(part, path) for part in _parts(model) for path in sorted((model / part).rglob("*")) if path.is_file()]
    return [f"{part}/{path.relative_to(model / part).as_posix()} {sha256_file(path)}\n" for part, path in files]


def write_vocabulary(folder: Path) -> None:
    """Write vocab.json and merges.txt out of tokenizer.json, where a folder has that alone.

    Raise UserError when it is no tokenizer of CLIP's kind: byte pairs with an end-of-word mark.
    """
    file = folder / FAST
    if (folder / VOCABULARY).is_file() or (folder / MERGES).is_file() or not file.is_file():
        return
    try:
        model = parse_json(read_text(file))["model"]
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
        plain = model["type"] == "BPE" and model["end_of_word_suffix"] == "</w>" and isinstance(model["vocab"], dict)
        if not plain or any(len(pair.split(" ")) != 2 for pair in merges):
            raise ValueError("no byte pairs with </w>")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} is no CLIP tokenizer ({error}); add vocab.json and merges.txt") from error
    write_text(folder / VOCABULARY, json.dumps(model["vocab"], ensure_ascii=False, separators=(",", ":")))
    write_text(folder / MERGES, "\n".join(["#version: 0.2", *merges, ""]))


def require_vocabulary(folder: Path) -> None:
    """Raise UserError unless `folder` holds vocab.json and merges.txt, which CLIPTokenizer and sd-scripts read."""
    missing = [name for name in (VOCABULARY, MERGES) if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder} has no {' and no '.join(missing)}, so it is no CLIP tokenizer; fetch the model again")
