"""Which files M_0 is made of, and their hashes; imports no model code."""

from __future__ import annotations

from pathlib import Path

from pipeline.storage import sha256_bytes, sha256_file

PARTS = ("tokenizer", "text_encoder", "vae", "unet")


def base_files(model: str | Path, vae: str | Path | None = None) -> dict[str, str]:
    """{path below the model's folder: sha256} of every file that M_0 is made of; empty when there is none."""
    folder = Path(model)
    files = sorted(p for part in PARTS if not (part == "vae" and vae) for p in (folder / part).rglob("*") if p.is_file())
    found = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
    if vae:
        replacement = sorted(p for p in Path(vae).rglob("*") if p.is_file())
        found |= {f"vae/{path.relative_to(vae).as_posix()}": sha256_file(path) for path in replacement}
    return found


def base_hash(files: dict[str, str]) -> str:
    """One hash for M_0 from the hashes of its files."""
    return sha256_bytes("\n".join(f"{name} {digest}" for name, digest in sorted(files.items())).encode())
