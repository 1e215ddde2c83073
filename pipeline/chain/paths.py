"""Every path of a chain as a function of the iteration k. Paths are relative to the project's root."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Where a chain keeps its files, below `root`."""

    root: Path = Path()

    @property
    def prompts(self) -> Path:
        """P: one JSON object per line: index, name, prompt."""
        return self.root / "data/prompts.jsonl"

    def images(self, k: int) -> Path:
        """D_k: PNGs, or a large set's shards of them, and manifest.jsonl."""
        return self.root / f"data/D_{k}"

    def manifest(self, k: int) -> Path:
        """One JSON object per image of D_k: file, prompt_index, image_index, prompt, seed, sha256 (shard, offset, size)."""
        return self.images(k) / "manifest.jsonl"

    def training_set(self, k: int) -> Path:
        """T_k: one JSON object per image that M_k is finetuned on: path, prompt_index, caption, k, sha256."""
        return self.root / f"data/T_{k}.jsonl"

    def model(self, k: int) -> Path:
        """Return M_k's folder; M_0 holds the record of the base model."""
        return self.root / f"models/M_{k}"

    def base_record(self) -> Path:
        """Return which base model M_0 is: its path, and the hash of each of its files."""
        return self.model(0) / "base.json"

    def lineage(self, k: int) -> Path:
        """Return what M_k was trained from and on: hashes of its LoRA, base model and training set, the machine."""
        return self.model(k) / "lineage.json"

    def lora(self, k: int) -> Path:
        return self.model(k) / "lora.safetensors"

    def losses(self, k: int) -> Path:
        """Loss of each optimizer step of M_k: columns step, loss."""
        return self.model(k) / "loss.csv"

    def traces(self, k: int) -> Path:
        """Return what the sampler recorded: diff_norm [N,T] float32, latents [N,4,h,w] float32."""
        return self.root / f"traces/{k}.safetensors"

    def features(self, k: int) -> Path:
        """Return features of D_k: image [N,d] float32, in the manifest's order."""
        return self.root / f"features/{k}.safetensors"

    def metrics(self, k: int) -> Path:
        return self.root / f"metrics/{k}.json"

    def analysis(self, k: int) -> Path:
        """Curves and figures of D_k: spectra, fingerprint, colour, and for k >= 1 latents and Diff norms."""
        return self.root / f"analysis/{k}.json"

    def analysis_maps(self, k: int) -> Path:
        """Image-like arrays of the analysis: residual_spectrum and autocorrelation, each [S,S] float32."""
        return self.root / f"analysis/{k}.safetensors"

    @property
    def summary(self) -> Path:
        """The chain's last metrics, for `dvc exp show`."""
        return self.root / "report/summary.json"

    @property
    def report(self) -> Path:
        return self.root / "report/index.html"

    @property
    def plots(self) -> Path:
        """Data of `dvc plots`, whose figures dvc.yaml describes."""
        return self.root / "plots"

    def log(self, stage: str, k: int) -> Path:
        """Return a stage's full output; not versioned, because it holds times."""
        return self.root / f"logs/{stage}_{k}.log"

    @property
    def scratch(self) -> Path:
        """Unfinished work, keyed by the hash of its inputs; safe to delete."""
        return self.root / "scratch"


def image_name(prompt: int, image: int = 0) -> str:
    """Return the file name of one image of D_k: "00012.png", and "00012_3.png" for the fourth image of prompt 12."""
    return f"{prompt:05d}.png" if image == 0 else f"{prompt:05d}_{image}.png"


def sd_scripts(root: Path) -> Path | None:
    """Return the vendored sd-scripts: in `root`, or in a checkout around it (DVC's queue runs in copies without submodules)."""
    for folder in (root, *root.resolve().parents):
        candidate = folder / "vendor/sd-scripts"
        if (candidate / "train_network.py").is_file():
            return candidate
    return None


OUTPUTS = ("data/D_*", "data/T_*.jsonl", "data/prompts.jsonl", "models/M_*",
           "traces/*", "features/*", "metrics/*", "analysis/*", "plots/*", "report/*")  # fmt: skip
"""Patterns of all that the stages write."""

OUTPUT_FOLDERS = tuple(dict.fromkeys(pattern.partition("/")[0] for pattern in OUTPUTS))

_ITERATION = re.compile(r"(?:data/D_|data/T_|models/M_|traces/|features/|metrics/|analysis/)(\d+)(?=[./])")


def iteration_of(path: str) -> int | None:
    """Return the k that a path, relative to the project's root, is of; None for one of no iteration."""
    found = _ITERATION.match(path)
    return int(found[1]) if found else None


def iterations(paths: Iterable[str]) -> list[int]:
    """Return every k of which there is, or should be, a file."""
    return sorted({int(found[1]) for path in paths if (found := _ITERATION.match(path))})
