"""Tell before any stage runs that the VAE is no longer the one that M_0 records; DVC does not watch it."""

from __future__ import annotations

from pathlib import Path

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json
from pipeline.inputs.base_models.identity import another_vae, vae_files


def changed_vae(model: str, vae: str | None, root: Path = Path()) -> UserError | None:
    """Why the chain in `root` cannot go on with the `vae` of params.yaml: its files are not those that M_0 records.

    DVC does not watch them. None where there is no `vae` or no whole record, and where params.yaml names another one than the
    record, because then `prepare` runs again.
    """
    record = Layout().base_record()
    try:
        recorded = read_json(root / record, {"model": str, "files": dict})
    except (UserError, OSError):
        return None
    if vae is None or (recorded["model"], recorded.get("vae")) != (model, vae):
        return None
    known = {name: digest for name, digest in recorded["files"].items() if name.startswith("vae/")}
    try:
        return None if vae_files(root / vae) == known else another_vae(vae, record)
    except UserError as error:
        return error


def check_vae(model: str, vae: str | None, root: Path = Path()) -> None:
    """Raise UserError where the chain in `root` cannot go on with `vae`, as `changed_vae` says."""
    if (problem := changed_vae(model, vae, root)) is not None:
        raise problem
