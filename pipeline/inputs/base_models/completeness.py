"""Tell whether a model is complete and usable, by its configs and the headers of its weights, before gigabytes are hashed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline.core.errors import UserError
from pipeline.core.json_files import parse_json
from pipeline.core.tensors import read_header
from pipeline.core.weights import PICKLE_SUFFIXES, no_model, refuse_pickles
from pipeline.diffusion.families.layouts import NAMES, all_parts, tokenizer_parts
from pipeline.inputs.base_models.architecture import Architecture, recognise
from pipeline.inputs.base_models.tokenizers import MERGES, VOCABULARY

Role = Literal["model", "vae"]
"""What params.yaml uses a folder for."""

_TEXTS = {
    "scheduler": ("scheduler_config.json",),
    **dict.fromkeys(tokenizer_parts(), (VOCABULARY, MERGES)),
}
"""What parts without weights consist of; the others have weights and a config.json."""
_INDEX = ".safetensors.index.json"


def faults(folder: Path, found: Architecture, role: Role | None = None, without: Collection[str] = ()) -> list[str]:
    """List what keeps a chain from using, for `role` if given, the model that `folder` was `found` to be.

    The parts `without` are not looked at, as another VAE makes the model's own needless. Raise UserError for a damaged index
    of shards.
    """
    if role == "vae" and found.kind != "vae":
        return [f"it is {found.what}, not a VAE for Stable Diffusion"]
    if found.kind == "other" or (role == "model" and found.kind in ("vae", "tower")):
        return [f"it is {found.what}, and a chain needs {NAMES}"]
    parts = [part for part in found.parts if part not in without]
    weights = [fault for part in parts if part not in _TEXTS for fault in _missing_weights(folder, part)]
    return [*_missing_texts(folder, parts), *weights, *_broken(folder, parts)]


def missing_configs(folder: Path, found: Architecture) -> list[str]:
    """List what is missing of the configs and vocabularies of a whole model of this kind."""
    return list(_missing_texts(folder, found.parts))


def require_no_faults(name: str, found: Sequence[str]) -> None:
    """Raise UserError that names the first of the faults of the folder `name`, if there are any."""
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        fault = found[0].partition("; fetch ")[0]
        raise UserError(f"{name} cannot be used: {fault}{more}; fetch it again, or name another")


def _missing_texts(folder: Path, parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        names = _TEXTS.get(part, ("config.json",))
        yield from (f"{PurePosixPath(part, name)} is missing" for name in names if not (folder / part / name).is_file())


def _missing_weights(folder: Path, part: str) -> Iterator[str]:
    """Weights are safetensors under a plain name: one file, or all shards that their index lists."""
    place = folder / part
    for stem in ("diffusion_pytorch_model", "model"):
        if (place / f"{stem}.safetensors").is_file():
            return
        index = place / f"{stem}{_INDEX}"
        if index.is_file():
            yield from (f"{PurePosixPath(part, name)} is missing" for name in _shards(index) if not (place / name).is_file())
            return
    pickle = any(path.suffix in PICKLE_SUFFIXES for path in place.glob("*"))
    yield f"{part or 'it'} has no weights as safetensors" + (", only as a pickle" if pickle else "")


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


def used_folders(model: str, vae: str | None) -> list[tuple[str, Role, tuple[str, ...]]]:
    """Return (folder, what for, parts that it need not have) of a chain's model and of its VAE, if it has one of its own."""
    return [(model, "model", ("vae",)), (vae, "vae", ())] if vae else [(model, "model", ())]


def require_usable(model: str, vae: str | None) -> None:
    """Raise UserError, in the words of `redifine base check`, unless both are whole and of the right kind."""
    folders = [(Path(name), role, without) for name, role, without in used_folders(model, vae)]
    for folder, role, without in folders:
        # Pickles are refused before anything else.
        refuse_pickles(folder, [""] if role == "vae" else [part for part in all_parts() if part not in without])
        if not folder.is_dir():
            raise no_model(folder, role)
    for folder, role, without in folders:
        require_no_faults(str(folder), faults(folder, recognise(folder), role, without))
