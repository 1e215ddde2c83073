"""Is a model whole, and one that a chain can start from: told by its configs and the headers of its weights, which is quick."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pipeline.core.errors import UserError
from pipeline.core.json_files import parse_json
from pipeline.core.weights import PICKLE_SUFFIXES
from pipeline.inputs.base_models.architecture import Architecture
from pipeline.inputs.base_models.header import read_header
from pipeline.inputs.base_models.tokenizers import MERGES, VOCABULARY

Role = Literal["model", "vae"]
"""What params.yaml uses a folder for."""

_TEXTS = {
    "scheduler": ("scheduler_config.json",),
    "tokenizer": (VOCABULARY, MERGES),
    "tokenizer_2": (VOCABULARY, MERGES),
}
"""What parts without weights consist of; the others have weights and a config.json."""
_INDEX = ".safetensors.index.json"


def faults(folder: Path, found: Architecture, role: Role | None = None, without: Collection[str] = ()) -> list[str]:
    """What keeps a chain from using the model that `folder` was `found` to be, for `role` if given; empty when nothing does.

    The parts `without` are not looked at, as another VAE makes the model's own needless. Raises UserError for a damaged index
    of shards.
    """
    if role == "vae" and found.kind != "vae":
        return [f"it is {found.what}, not a VAE for Stable Diffusion"]
    if found.kind == "other" or (role == "model" and found.kind in ("vae", "tower")):
        return [f"it is {found.what}, and a chain needs Stable Diffusion 1.x or SDXL"]
    parts = [part for part in found.parts if part not in without]
    weights = [fault for part in parts if part not in _TEXTS for fault in _missing_weights(folder / part, _prefix(part))]
    return [*_missing_texts(folder, parts), *weights, *_broken(folder, parts)]


def missing_texts(folder: Path, found: Architecture) -> list[str]:
    """What is missing of the configs and vocabularies of a whole model of this kind."""
    return list(_missing_texts(folder, found.parts))


def refuse(shown: str, found: Sequence[str]) -> None:
    """Raise UserError that names the first of the faults of the folder `shown`, if there are any."""
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        fault = found[0].removesuffix("; fetch it again")
        raise UserError(f"{shown} cannot be used: {fault}{more}; fetch it again, or name another")


def _prefix(part: str) -> str:
    return f"{part}/" if part else ""


def _missing_texts(folder: Path, parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        names = _TEXTS.get(part, ("config.json",))
        yield from (f"{_prefix(part)}{name} is missing" for name in names if not (folder / part / name).is_file())


def _missing_weights(place: Path, prefix: str) -> Iterator[str]:
    """Weights are safetensors under a plain name: one file, or all shards that their index lists."""
    for stem in ("diffusion_pytorch_model", "model"):
        if (place / f"{stem}.safetensors").is_file():
            return
        index = place / f"{stem}{_INDEX}"
        if index.is_file():
            yield from (f"{prefix}{name} is missing" for name in _shards(index) if not (place / name).is_file())
            return
    pickle = any(path.suffix in PICKLE_SUFFIXES for path in place.glob("*"))
    yield f"{prefix or 'it'} has no weights as safetensors" + (", only as a pickle" if pickle else "")


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(map(str, parse_json(index.read_text(encoding="utf-8"))["weight_map"].values())))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is no index of shards ({error}); fetch the model again") from error


def _broken(folder: Path, parts: Sequence[str]) -> Iterator[str]:
    for path in sorted(path for part in parts for path in (folder / part).rglob("*.safetensors")):
        try:
            read_header(path)
        except UserError as error:
            yield str(error).replace(f"{folder}/", "", 1)
