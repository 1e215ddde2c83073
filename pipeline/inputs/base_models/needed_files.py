"""Choose the files of a repository or folder that a chain needs: configs, tokenizers, and one set of safetensors."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from pipeline.core.errors import UserError
from pipeline.core.weights import PICKLE_SUFFIXES
from pipeline.diffusion.families.layouts import NAMES, all_parts, weighted_parts

_TEXT = frozenset({".json", ".txt"})
_INDEX = "model_index.json"


def needed_files(files: Collection[str], name: str, variant: str | None = None) -> dict[str, str]:
    """Return {file: name in our layout} of what a model needs; weights of a `variant` ("fp16") get the plain names.

    `files` are paths below the model's folder, `name` is what sentences call it. Weights that exist only as fp16 are
    taken; those that exist only as pickles are refused with UserError.
    """
    parts = [part for part in ("scheduler", *all_parts()) if any(file.startswith(f"{part}/") for file in files)]
    alone = _INDEX not in files and "unet/config.json" not in files
    if alone and "config.json" not in files:
        raise UserError(_no_layout(files, name))
    chosen = {} if alone or _INDEX not in files else {_INDEX: _INDEX}
    for part in ("",) if alone else parts:
        inside = {file for file in files if PurePosixPath(file).parent.as_posix() == (part or ".")}
        chosen |= {file: file for file in inside if _is_text(file)}
        if alone or part in weighted_parts():
            chosen |= _weights(inside, f"{name}: {part}" if part else name, variant)
    return dict(sorted(chosen.items()))


def is_weights(file: str) -> bool:
    return file.endswith(".safetensors")


def _is_text(file: str) -> bool:
    """Configs and vocabularies; an index of shards comes with its weights."""
    path = PurePosixPath(file)
    return path.suffix in _TEXT and ".index." not in path.name


def _weights(inside: Collection[str], name: str, variant: str | None) -> dict[str, str]:
    """Choose one set of safetensors among a part's files: plain, or of a variant under the plain name."""
    for choice in (variant,) if variant else (None, "fp16", _only_variant(inside)):
        if found := _one_set(inside, choice):
            return found
    pickles = sorted(PurePosixPath(file).name for file in inside if PurePosixPath(file).suffix in PICKLE_SUFFIXES)
    if variant and (_one_set(inside, None) or _one_set(inside, "fp16")):
        raise UserError(f"{name} has no weights of the variant {variant}; leave --variant out")
    if pickles:
        raise UserError(
            f"{name} has its weights only as a pickle ({pickles[0]}), which can run any code when it is opened; "
            "choose a repository or revision with safetensors"
        )
    raise UserError(f"{name} has no weights as safetensors; choose another repository or revision")


def _only_variant(inside: Collection[str]) -> str | None:
    """Return the variant of which alone there are weights (bf16, non_ema), if there is one such."""
    found = [re.fullmatch(r"(?:diffusion_pytorch_)?model\.(\w+)\.safetensors", PurePosixPath(file).name) for file in inside]
    names = {match[1] for match in found if match}
    return names.pop() if len(names) == 1 else None


def _one_set(inside: Collection[str], variant: str | None) -> dict[str, str]:
    """Return the single file or the shards with their index; shards of a variant are left alone, as their index names them."""
    mark = f".{variant}" if variant else ""
    for stem in ("diffusion_pytorch_model", "model"):
        for file in inside:
            path = PurePosixPath(file)
            if path.name == f"{stem}{mark}.safetensors":
                return {file: path.with_name(f"{stem}.safetensors").as_posix()}
        shard = re.compile(rf"{stem}-\d{{5}}-of-\d{{5}}\.safetensors|{stem}\.safetensors\.index\.json")
        shards = {file: file for file in inside if shard.fullmatch(PurePosixPath(file).name)}
        if shards and not variant:
            return shards
    return {}


def _no_layout(files: Collection[str], name: str) -> str:
    single = sorted(file for file in files if is_weights(file))
    other = sorted({file.partition("/")[0] for file in files if file.endswith("/config.json")})
    if single and not other:
        return (
            f"{name} is not in diffusers layout, but has {single[0]}; download that file, and give it to 'redifine base fetch'"
        )
    what = f" (it has {', '.join(other)})" if other else ""
    return f"{name} is no {NAMES} in diffusers layout{what}; choose another repository"
