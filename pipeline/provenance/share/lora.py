"""Write M_k as users of A1111, ComfyUI and diffusers take it: the file as it is, a card, and A1111's own small JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes, write_text
from pipeline.core.json_files import read_jsonl, write_json
from pipeline.core.tensors import load_tensors
from pipeline.provenance.share.cards import model_card

_PLAIN_WORDS = re.compile(r"[\w' -]{2,40}")
_MOST_TRIGGERS = 8


def write_lora(root: Path, folder: Path, k: int, name: str, licence: str, lineage: Mapping[str, Any]) -> None:
    """NAME.safetensors with the bytes of M_k, README.md, and NAME.json. Raises UserError when M_k is missing."""
    source = Layout(root).lora(k)
    if not source.is_file():
        raise UserError(f"{source} does not exist; fetch it with 'redifine get {k}', or make it with 'dvc repro'")
    triggers = trigger_words(row["caption"] for row in read_jsonl(Layout(root).training_set(k), ("caption",)))
    write_bytes(folder / f"{name}.safetensors", source.read_bytes())
    write_json(folder / f"{name}.json", a1111_settings(k, triggers, _sd_version(source)))
    write_text(folder / "README.md", model_card(name, f"{name}.safetensors", licence, triggers, lineage))


def _sd_version(lora: Path) -> str:
    """A1111's name of the base model's architecture, after what the trainer wrote into the file."""
    _, metadata = load_tensors(lora)
    base = metadata.get("ss_base_model_version", "")
    return "SDXL" if base.startswith("sdxl") else "SD1" if base.startswith("sd_v1") else "Unknown"


def a1111_settings(k: int, triggers: list[str], sd_version: str) -> dict[str, Any]:
    """What A1111 shows on the LoRA's card: the keys are its own."""
    return {
        "activation text": ", ".join(triggers),
        "description": f"M_{k} of a Chain of Diffusion",
        "notes": "",
        "preferred weight": 1,
        "sd version": sd_version,
    }


def trigger_words(captions: Iterable[str]) -> list[str]:
    """The comma-separated pieces that at least half of the captions share, the most frequent first; plain words only."""
    pieces = [{piece.strip() for piece in caption.split(",")} for caption in captions]
    counts = Counter(piece for caption in pieces for piece in caption if _PLAIN_WORDS.fullmatch(piece))
    shared = [piece for piece, count in counts.items() if 2 * count >= len(pieces) > 1]
    return sorted(shared, key=lambda piece: (-counts[piece], piece))[:_MOST_TRIGGERS]
