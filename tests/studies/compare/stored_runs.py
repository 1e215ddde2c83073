"""Files of small chains for tests: what the stages would have left, with numbers that tell runs apart."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes

PROMPTS = ("a red cat", "a blue <b>dog</b>", 'an owl "&" a moth', "a green frog", "a hen", "a grey fox")


@dataclass(frozen=True)
class StoredFiles:
    """A source of files without Git or DVC."""

    files: dict[str, bytes]

    def read(self, path: Path) -> bytes:
        if path.as_posix() not in self.files:
            raise UserError(f"the chain lacks {path}")
        return self.files[path.as_posix()]

    def read_image(self, folder: Path, row: dict[str, str]) -> bytes:
        return self.read(folder / row["file"])

    def has(self, path: Path) -> bool:
        return path.as_posix() in self.files


def chain_files(
    cfg: float, seed: int = 0, last: int = 2, planned: int = 2, feature: str = "clip", title: str = "Chain"
) -> dict[str, bytes]:
    """A chain whose FID_k is 10 k cfg + seed, and whose pictures have the grey value 40 k."""
    iterations = "".join(f'  "{k}": {{prev: {k - 1}}}\n' for k in range(1, planned + 1))
    files = {"params.yaml": f"title: {json.dumps(title)}\nseed: {seed}\ncfg: {cfg}\niterations:\n{iterations}".encode()}
    for k in range(last + 1):
        metrics = {"k": k, "n": len(PROMPTS), "power": 0.05, "feature": {"name": feature}} | (
            {"fid": 10.0 * k * cfg + seed} if k else {}
        )
        files[f"metrics/{k}.json"] = json.dumps(metrics).encode()
        features = np.random.default_rng((seed, k)).normal(k * cfg, 1.0, (len(PROMPTS), 5)).astype(np.float32)
        files[f"features/{k}.safetensors"] = save({"image": features})
        files |= _images(k)
    return files


def _images(k: int) -> dict[str, bytes]:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (40 * k, 40 * k, 40 * k)).save(buffer, "PNG")
    content = buffer.getvalue()
    names = [f"{i:05d}.png" for i in range(len(PROMPTS))]
    rows = [
        {"file": name, "prompt_index": i, "image_index": 0, "prompt": prompt, "sha256": sha256_bytes(content)}
        for i, (name, prompt) in enumerate(zip(names, PROMPTS, strict=True))
    ]
    manifest = "".join(json.dumps(row) + "\n" for row in rows)
    return {f"data/D_{k}/{name}": content for name in names} | {f"data/D_{k}/manifest.jsonl": manifest.encode()}
