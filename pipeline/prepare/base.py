"""Which files M_0 is made of, and their hashes; imports no model code."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError
from pipeline.guards import refuse_pickles
from pipeline.storage import sha256_bytes, sha256_file

PARTS = ("tokenizer", "text_encoder", "vae", "unet")


def base_files(model: str | Path, vae: str | Path | None = None) -> dict[str, str]:
    """{path below the model's folder: sha256} of every file that M_0 is made of; empty when the model has none.

    Raises UserError when the model has some of its parts but not all, `vae` names no folder with files, or weights are pickles.
    """
    folder = Path(model)
    refuse_pickles(folder, [part for part in PARTS if not (part == "vae" and vae)])
    if vae:
        refuse_pickles(Path(vae))
    files = sorted(p for part in PARTS if not (part == "vae" and vae) for p in (folder / part).rglob("*") if p.is_file())
    found = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
    missing = [part for part in PARTS if not (part == "vae" and vae) and not any(name.startswith(f"{part}/") for name in found)]
    if found and missing:
        raise UserError(f"{model} has no files in {', '.join(missing)}, so it is no whole Stable Diffusion; fetch it again")
    if vae:
        replacement = sorted(p for p in Path(vae).rglob("*") if p.is_file())
        if not replacement:
            raise UserError(f"vae (params.yaml) names {vae}, where there are no files; name a VAE's folder, or set vae: null")
        found |= {f"vae/{path.relative_to(vae).as_posix()}": sha256_file(path) for path in replacement}
    return found


def base_hash(files: dict[str, str]) -> str:
    """One hash for M_0 from the hashes of its files."""
    return sha256_bytes("\n".join(f"{name} {digest}" for name, digest in sorted(files.items())).encode())
