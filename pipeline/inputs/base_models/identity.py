"""Which files M_0 is made of, and their hashes; imports no model code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes, sha256_file
from pipeline.core.json_files import read_json
from pipeline.core.weights import no_model, refuse_pickles
from pipeline.diffusion.families.layouts import layout_of
from pipeline.inputs.base_models.record import files_below, origin


def base_files(model: str | Path, vae: str | Path | None = None) -> dict[str, str]:
    """Return {path below the model's folder: sha256} of every file that M_0 is made of; empty when the model has none.

    Raise UserError when there is no such folder, the model has some of its parts but not all, `vae` names no folder with
    files, or weights are pickles.
    """
    folder = Path(model)
    layout = layout_of(folder)
    parts = [part for part in layout.parts if not (part == layout.vae and vae)]
    refuse_pickles(folder, parts)
    if not folder.is_dir():
        raise no_model(model)
    found = {f"{part}/{name}": sha256_file(path) for part in parts for name, path in files_below(folder / part).items()}
    missing = [part for part in parts if not any(name.startswith(f"{part}/") for name in found)]
    if found and missing:
        raise UserError(f"{model} has no files in {', '.join(missing)}, so it is no whole Stable Diffusion; fetch it again")
    return found | vae_files(Path(vae)) if vae else found


def vae_files(vae: Path) -> dict[str, str]:
    """Return {path in the model: sha256} of the files of another VAE, which stands in for the model's own.

    Raise UserError when there are none, and for pickles.
    """
    refuse_pickles(vae)
    found = {f"vae/{name}": sha256_file(path) for name, path in files_below(vae).items()}
    if not found:
        raise UserError(
            f"vae (params.yaml) names {vae}, where there are no files; bring one with 'redifine base fetch', or set vae: null"
        )
    return found


def origins(model: str | Path, vae: str | Path | None, files: Mapping[str, str]) -> dict[str, Any]:
    """Return {"model": ..., "vae": ...} of those that were fetched: repository and commit, or file; with their licence.

    `files` are `base_files`' hashes. Raise UserError when a file is not the one that was fetched.
    """
    own = {name: digest for name, digest in files.items() if not (vae and name.startswith("vae/"))}
    other = {name.removeprefix("vae/"): digest for name, digest in files.items() if name not in own}
    found = {"model": origin(Path(model), own), "vae": origin(Path(vae), other) if vae else None}
    return {key: value for key, value in found.items() if value is not None}


def base_hash(files: dict[str, str]) -> str:
    """Combine into one hash for M_0 the hashes of its files."""
    return sha256_bytes("\n".join(f"{name} {digest}" for name, digest in sorted(files.items())).encode())


def require_recorded(record: Path, model: str | Path, vae: str | Path | None = None) -> str:
    """Return M_0's hash, as `record` (models/M_0/base.json) has it.

    Raise UserError that names the folder whose files are no longer those that M_0 was recorded from.
    """
    recorded: dict[str, Any] = read_json(record, {"sha256": str})
    files = base_files(model, vae)
    if files and base_hash(files) != recorded["sha256"]:
        if vae and _without_vae(files) == _without_vae(recorded.get("files", {})):
            raise another_vae(vae, record)
        advice = "restore its files, or run 'dvc repro' to start from the new ones"
        raise UserError(f"{model} is not the model that {record} records; {advice}")
    return str(recorded["sha256"])


def _without_vae(files: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if not name.startswith("vae/")}


def another_vae(vae: str | Path, record: Path) -> UserError:
    """Return the UserError for a chain that cannot go on with other files in the folder `vae`.

    DVC does not run `prepare` again for them: a dependency in dvc.yaml must be a path, and the setting may be null.
    """
    return UserError(
        f"{vae} is not the VAE that {record} records; restore its files, "
        "or run 'dvc repro --force prepare' to go on from the new ones"
    )


def changed_vae(model: str, vae: str | None, root: Path = Path()) -> UserError | None:
    """Return why the chain in `root` cannot go on with the `vae` of params.yaml: its files are not those that M_0 records.

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
