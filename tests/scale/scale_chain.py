"""A chain whose M_2 is there, ready to draw D_2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pipeline.chain.params import View, check
from pipeline.chain.paths import Layout
from pipeline.core.json_files import write_json, write_jsonl
from pipeline.core.randomness import generator
from pipeline.diffusion import lora
from pipeline.diffusion.lora_targets import target_modules
from pipeline.diffusion.models import load_base
from pipeline.inputs.base_models.identity import base_files, base_hash

PROMPTS = ["a round red creature", "a tall green creature (striped)", "", "curly tail", "two eyes"]


def view(model: Path, **changes: Any) -> View:
    """The sample stage's parameters."""
    values = {"model": str(model), "resolution": 64, "steps": 4, "sample_batch": 2, "cfg": 2.0}
    return View(check({"iterations": {"1": {"prev": 0}}, **values, **changes}), "sample")


def sampling_chain(model: Path, root: Path) -> Layout:
    layout = Layout(root)
    files = base_files(model)
    write_json(layout.base_record(), {"files": files, "model": str(model), "sha256": base_hash(files), "vae": None})
    write_jsonl(layout.prompts, [{"index": i, "name": str(i), "prompt": prompt} for i, prompt in enumerate(PROMPTS)])
    chance, weights = generator(0), {}
    for name, layer in target_modules(load_base(model)).items():
        out, into, *kernel = layer.weight.shape
        down, up = (0.03 * torch.randn(*shape, *kernel, generator=chance) for shape in ((4, into), (out, 4)))
        weights[name] = lora.LowRank(down, up, 2.0)
    lora.save(layout.lora(2), weights)
    return layout


def bytes_of(layout: Layout) -> dict[str, bytes]:
    """Every file of D_2 and its traces."""
    files = [*sorted(layout.images(2).rglob("*")), layout.traces(2)]
    return {path.relative_to(layout.root).as_posix(): path.read_bytes() for path in files}
