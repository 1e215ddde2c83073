"""Refuse a base model or VAE that no chain can use, by the headers of its files, before gigabytes are hashed."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.weights import no_model, refuse_pickles
from pipeline.inputs.base_models.architecture import recognise
from pipeline.inputs.base_models.identity import PARTS, SECOND_PARTS
from pipeline.inputs.base_models.whole import Role, faults, refuse


def require_usable(model: str | Path, vae: str | Path | None = None) -> None:
    """Raise UserError, in the words of `redifine base check`, unless both are whole and of the right kind."""
    without = ("vae",) if vae else ()
    _require_folder(Path(model), "model", [part for part in (*PARTS, *SECOND_PARTS) if part not in without])
    if vae:
        _require_folder(Path(vae), "vae", [""])
    _require_whole(Path(model), "model", without)
    if vae:
        _require_whole(Path(vae), "vae")


def _require_folder(folder: Path, role: Role, parts: list[str]) -> None:
    """What a pickle could do comes before what else is wrong."""
    refuse_pickles(folder, parts)
    if not folder.is_dir():
        raise no_model(folder, role)


def _require_whole(folder: Path, role: Role, without: tuple[str, ...] = ()) -> None:
    refuse(str(folder), faults(folder, recognise(folder), role, without))
