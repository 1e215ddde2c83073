"""Bring a model here once: from the hub, a folder or a single file, into models/base/NAME with a record of every hash."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.chain.model_names import FOLDER
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, free_bytes, link_or_copy, sha256_file
from pipeline.core.json_files import read_json, write_json
from pipeline.core.tensors import read_header
from pipeline.diffusion.families.layout import Config
from pipeline.diffusion.families.layouts import LAYOUTS, tokenizer_parts
from pipeline.diffusion.judgement.recognise import Architecture, recognise, require_model
from pipeline.diffusion.judgement.usable import faults, missing_configs, require_no_faults
from pipeline.inputs.base_models import hub
from pipeline.inputs.base_models.needed_files import is_weights, needed_files
from pipeline.inputs.base_models.record import FILE, read_record, write_record
from pipeline.inputs.base_models.single_file import find_vocabulary, single_file_kind
from pipeline.inputs.base_models.source import HubSource, folder_name, parse_source
from pipeline.inputs.base_models.tokenizers import write_vocabulary
from pipeline.inputs.hub import endpoint

_SPARE_BYTES = 200_000_000
_LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")
"""What Stable Diffusion's pipelines may have and a chain never runs; model_index.json is told that it is not there."""


@dataclass(frozen=True)
class Fetched:
    """A model's folder and record; `was_here`: nothing had to be done."""

    folder: Path
    record: Mapping[str, Any]
    was_here: bool = False


def fetch(
    text: str, root: Path, name: str | None = None, revision: str | None = None, variant: str | None = None,
    tokenizer: Path | None = None, configs: Mapping[str, Config] | None = None,
) -> Fetched:  # fmt: skip
    """Bring the model that `text` names to `root`/models/base/`name`, all of it or nothing.

    `configs` replace the published ones for a single file, which has none. What is there already stays: a model of the hub
    from the same source; else UserError. Raise UserError, too, that says what is wrong with the source.
    """
    source = parse_source(text, revision)
    target = root / FOLDER / folder_name(source, name)
    if isinstance(source, HubSource):
        return _from_hub(source, target, variant, Layout(root).scratch / "base")
    if source.is_dir():
        return _from_folder(source, target, variant)
    return _from_file(source, target, root, tokenizer, configs)


def _from_hub(source: HubSource, target: Path, variant: str | None, scratch: Path) -> Fetched:
    """Configs first: what is no Stable Diffusion is refused before gigabytes of weights come."""
    wish = {"repository": source.repository, "requested": source.revision or "default branch", "variant": variant}
    if here := _already_here(target, wish):
        return here
    remote = hub.look_up(source.repository, source.revision)
    chosen = needed_files(remote.files, source.repository, variant)
    partial = scratch / f"{target.name}-{remote.commit[:12]}"
    hub.download(remote, [file for file in chosen if not is_weights(file)], partial)
    kind = require_model(partial, source.repository)
    _refuse_half(missing_configs(partial, kind), source.repository, kind)
    _require_published(source, remote, chosen)
    _require_space(remote, chosen, partial)
    hub.download(remote, chosen, partial)
    _require_whole(remote, chosen, partial)
    wish |= {"revision": remote.commit}
    fetched = _adopt(target, partial, chosen, link_or_copy, source.repository, kind, wish, remote.licence)
    shutil.rmtree(partial, ignore_errors=True)
    return fetched


def _already_here(target: Path, wish: Mapping[str, Any]) -> Fetched | None:
    """Return the model at `target` when it is the wished one. Raise UserError when it is another, or half of one."""
    if not target.exists():
        return None
    record = read_record(target)
    if record is None:
        raise UserError(f"{target} is there without a record ({FILE}); move it away, or give another --name")
    if any(record["source"].get(key) != value for key, value in wish.items()):
        described = ", ".join(f"{key} {value}" for key, value in sorted(record["source"].items()) if value)
        raise UserError(f"{target} holds another model ({described}); name another folder with --name, or remove this one")
    lost = [path for path, row in record["files"].items() if _size(target / path) != row["bytes"]]
    if lost:
        raise UserError(f"{target / lost[0]} is gone or of another size; remove {target}, and fetch it again")
    return Fetched(target, record, was_here=True)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _require_space(remote: hub.Remote, chosen: Mapping[str, str], partial: Path) -> None:
    needed = sum(remote.files[file].size for file in chosen if _size(partial / file) != remote.files[file].size)
    free = free_bytes(partial)
    if needed + _SPARE_BYTES > free:
        raise UserError(
            f"{remote.repository} needs {needed / 1e9:.1f} GB, and {partial.parent} has {free / 1e9:.1f} GB: free some space"
        )


def _require_published(source: HubSource, remote: hub.Remote, chosen: Mapping[str, str]) -> None:
    """Raise UserError when the hub lists other weights at the catalogue's commit than were published."""
    known = source.entry.sha256 if source.entry and source.entry.revision == source.revision else {}
    for file in chosen:
        if file in known and remote.files[file].sha256 != known[file]:
            raise UserError(
                f"{file} is not the one that {source.repository} published (its sha256 must be {known[file]}); "
                f"do not use {endpoint() or 'this hub'}"
            )


def _require_whole(remote: hub.Remote, chosen: Mapping[str, str], partial: Path) -> None:
    """Raise UserError for a file that is not what the hub lists; the file goes, so that the next fetch downloads it again."""
    for file in chosen:
        path = partial / file
        if not path.is_file() or not remote.files[file].is_content_of(path):
            path.unlink(missing_ok=True)
            raise UserError(f"{file} of {remote.repository} arrived damaged (its hash is wrong); run again: only it is fetched")


def _from_folder(source: Path, target: Path, variant: str | None) -> Fetched:
    """Adopt a diffusers folder of one's own: a copy, so that later changes to the original cannot reach a chain."""
    wish = {"folder": source.resolve().name, "variant": variant}
    files = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    chosen = needed_files(files, str(source), variant)
    kind = require_model(source, str(source))
    _refuse_half(missing_configs(source, kind), str(source), kind)
    for file in chosen:
        if is_weights(file):
            read_header(source / file)
    if target.exists():
        raise UserError(f"{target} is there already; name another folder with --name, or remove this one")
    return _adopt(target, source, chosen, shutil.copyfile, str(source), kind, wish, None)


def _adopt(
    target: Path, place: Path, chosen: Mapping[str, str], bring: Callable[[Path, Path], object],
    name: str, kind: Architecture, source: Mapping[str, Any], licence: str | None,
) -> Fetched:  # fmt: skip
    """Bring the `chosen` files of `place` to `target`, with a model_index.json that agrees with them and the record."""
    renamed = {new: file for file, new in chosen.items() if file != new}
    with atomic_folder(target) as folder:
        for file, new in chosen.items():
            (folder / new).parent.mkdir(parents=True, exist_ok=True)
            bring(place / file, folder / new)
        for part in tokenizer_parts():
            write_vocabulary(folder / part)
        require_no_faults(name, faults(folder, kind))
        if (folder / "model_index.json").is_file():
            _without_left_out(folder / "model_index.json")
        record = write_record(folder, target.name, kind.kind, {**source, "renamed": renamed} if renamed else source, licence)
    return Fetched(target, record)


def _refuse_half(lacks: Sequence[str], name: str, kind: Architecture) -> None:
    """Raise UserError for the first of the faults of the source `name`, which is not a whole model of its kind."""
    if lacks:
        raise UserError(f"{name} is not the whole of {kind.what}: {lacks[0]}; complete it, or name another")


def _without_left_out(path: Path) -> None:
    index = read_json(path)
    for part in _LEFT_OUT:
        if part in index:
            index[part] = [None, None]
    write_json(path, index)


def _from_file(file: Path, target: Path, root: Path, tokenizer: Path | None, configs: Mapping[str, Config] | None) -> Fetched:
    """Convert a single-file checkpoint. Its configs are the published ones, for it has none of its own."""
    tensors = read_header(file)
    kind = single_file_kind(file, tensors)
    wish = {"file": file.name, "sha256": sha256_file(file)}
    if here := _already_here(target, wish):
        return here
    # A VAE alone looks alike in every family.
    chosen = configs or LAYOUTS.get(kind, next(iter(LAYOUTS.values()))).published()
    lent, texts = (None, None) if kind == "vae" else find_vocabulary(root, tokenizer, chosen["text_encoder"]["vocab_size"])
    if (free := free_bytes(target)) < file.stat().st_size + _SPARE_BYTES:
        raise UserError(
            f"{target} needs {file.stat().st_size / 1e9:.1f} GB, and there are {free / 1e9:.1f} GB free; free some space"
        )
    from pipeline.inputs.base_models.convert import convert

    with atomic_folder(target) as folder:
        convert(file, folder, kind, chosen, texts)
        require_no_faults(str(file), faults(folder, recognise(folder)))
        record = write_record(folder, target.name, kind, wish | ({"tokenizer": lent} if lent else {}), None)
    return Fetched(target, record)
