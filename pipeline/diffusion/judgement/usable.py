"""Tell whether a model is complete and known to be drawn and trained right, before gigabytes are hashed or loaded."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline.core.errors import UserError
from pipeline.core.json_files import parse_json
from pipeline.core.tensors import read_header
from pipeline.core.weights import PICKLE_SUFFIXES, no_model, refuse_pickles
from pipeline.diffusion.families.allow_list import text_rules
from pipeline.diffusion.families.layout import FAST, MERGES, VOCABULARY
from pipeline.diffusion.families.layouts import LAYOUTS, NAMES, all_parts, layout_of, tokenizer_parts
from pipeline.diffusion.judgement.recognise import Architecture, read_configs, recognise

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
    if found.kind in LAYOUTS and (parts := layout_of(folder)).key != found.kind:
        return [f"it is {found.what} with parts of {parts.name} ({', '.join(parts.own_parts)})"]
    parts_ = [part for part in found.parts if part not in without]
    weights = [fault for part in parts_ if part not in _TEXTS for fault in _missing_weights(folder, part, found.kind)]
    lacks = [*_missing_texts(folder, parts_), *weights, *_broken(folder, parts_)]
    return lacks or list(_unlike_configs(folder, found, parts_))


def missing_configs(folder: Path, found: Architecture) -> list[str]:
    """List what is missing of the configs and vocabularies of a whole model of this kind.

    A tokenizer.json is enough of a vocabulary, as fetching takes it apart.
    """
    apart = [part for part in found.parts if part in tokenizer_parts() and (folder / part / FAST).is_file()]
    return list(_missing_texts(folder, [part for part in found.parts if part not in apart]))


def require_no_faults(name: str, found: Sequence[str]) -> None:
    """Raise UserError that names the first of the faults of the folder `name`, if there are any."""
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        fault, _, command = found[0].partition("; run ")
        fault = fault.partition("; fetch ")[0]
        advice = f"run {command}" if command else "fetch it again, or name another"
        raise UserError(f"{name} cannot be used: {fault}{more}; {advice}")


def _missing_texts(folder: Path, parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        names = _TEXTS.get(part, ("config.json",))
        missing = [name for name in names if not (folder / part / name).is_file()]
        if part in tokenizer_parts() and len(missing) == len(names) and (folder / part / FAST).is_file():
            yield f"{part} has its vocabulary only as {FAST}; {_run_fetch(folder)}"
        else:
            yield from (f"{PurePosixPath(part, name)} is missing" for name in missing)


def _run_fetch(folder: Path) -> str:
    return f"run 'redifine base fetch {shlex.quote(str(folder))}', and set the folder that it names"


def _stems(part: str, kind: str) -> tuple[str, ...]:
    """Return how the names of a part's weights begin, as the libraries look for them."""
    if kind == "tower":
        return ("diffusion_pytorch_model", "model")
    return ("model",) if part.startswith("text_encoder") else ("diffusion_pytorch_model",)


def weight_files(folder: Path, part: str, kind: str) -> list[Path]:
    """List the files that hold a part's weights under a plain name: one, or the shards that an index lists."""
    place = folder / part
    for stem in _stems(part, kind):
        if (place / f"{stem}{_INDEX}").is_file():
            return [place / name for name in _shards(place / f"{stem}{_INDEX}")]
        if (place / f"{stem}.safetensors").is_file():
            return [place / f"{stem}.safetensors"]
    return []


def _missing_weights(folder: Path, part: str, kind: str) -> Iterator[str]:
    files = weight_files(folder, part, kind)
    yield from (f"{PurePosixPath(part, path.name)} is missing" for path in files if not path.is_file())
    doubles = [stem for stem in _stems(part, kind) if (folder / part / f"{stem}{_INDEX}").is_file()]
    if doubles and (folder / part / f"{doubles[0]}.safetensors").is_file():
        yield f"{part or 'it'} has its weights twice, as {doubles[0]}.safetensors and in shards"
    variants = sorted(path.name for stem in _stems(part, kind) for path in (folder / part).glob(f"{stem}.*.safetensors"))
    if not files and variants:
        yield f"{part or 'it'} has its weights only as {variants[0]}; {_run_fetch(folder)}"
    elif not files:
        pickle = any(path.suffix in PICKLE_SUFFIXES for path in (folder / part).glob("*"))
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


def _unlike_configs(folder: Path, found: Architecture, parts: Sequence[str]) -> Iterator[str]:
    """Yield what the weights and tokenizers of a complete model have otherwise than its configs promise."""
    if found.kind == "tower":
        return
    from pipeline.diffusion.judgement.tensors import tensor_faults, tokenizer_fault

    configs = read_configs(folder)
    if found.kind == "vae":
        yield from tensor_faults("vae", configs[""], weight_files(folder, "", "vae"))
        return
    layout = LAYOUTS[found.kind]
    for part in layout.weighted_parts:
        if part in parts:
            yield from tensor_faults(part, configs[part], weight_files(folder, part, found.kind))
    for part, encoder in zip(layout.tokenizers, layout.text_encoders, strict=True):
        vocabulary = text_rules(encoder).meant(configs[encoder], "vocab_size")
        if fault := tokenizer_fault(folder / part, vocabulary, layout.pad_tokens.get(part)):
            yield fault


def used_folders(model: str, vae: str | None) -> list[tuple[str, Role, tuple[str, ...]]]:
    """Return (folder, what for, parts that it need not have) of a chain's model and of its VAE, if it has one of its own."""
    return [(model, "model", ("vae",)), (vae, "vae", ())] if vae else [(model, "model", ())]


def require_usable(model: str | Path, vae: str | Path | None) -> None:
    """Raise UserError, in the words of `redifine base check`, unless both are whole and known to be drawn and trained right."""
    folders = [(Path(name), role, without) for name, role, without in used_folders(str(model), str(vae) if vae else None)]
    for folder, role, without in folders:
        # Pickles are refused before anything else.
        refuse_pickles(folder, [""] if role == "vae" else [part for part in all_parts() if part not in without])
        if not folder.is_dir():
            raise no_model(folder, role)
    for folder, role, without in folders:
        require_no_faults(str(folder), faults(folder, recognise(folder, without), role, without))
    if vae:
        _require_same_latents(Path(model), Path(vae))


def _require_same_latents(model: Path, vae: Path) -> None:
    """Raise UserError for a VAE of another family: its latents mean something else, and nothing later would say so."""
    scale, own = read_configs(vae)[""].get("scaling_factor", next(iter(LAYOUTS.values())).latent_scale), layout_of(model)
    for other in LAYOUTS.values():
        if scale == other.latent_scale != own.latent_scale:
            raise UserError(f"{vae} is a VAE of {other.name}, the model is {own.name}; set vae to one of its kind, or null")
