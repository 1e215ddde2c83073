"""A project with a T_1 of six noise images, and the parameters to train on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.chain import paths
from pipeline.chain.params import Params, View, check
from pipeline.chain.paths import Layout
from pipeline.core.files import sha256_file, write_bytes
from pipeline.core.images import encode_png
from pipeline.core.json_files import write_json, write_jsonl
from pipeline.inputs.base_models.identity import base_files, base_hash

if TYPE_CHECKING:
    from pipeline.train.settings import TrainSettings

RESOLUTION = 64
CAPTIONS = [
    "a round red creature",
    "two blue eyes, striped (tail)",
    'a "tall" green one',
    "horns \\ ears",
    "ünïcode = round",
    "a curly tail",
]
SETTINGS: dict[str, Any] = {
    "seed": 7,
    "iterations": {"1": {"prev": 0}, "2": {"prev": 1}},
    "resolution": RESOLUTION,
    "trainer": "builtin",
    "rank": 4,
    "alpha": 2.0,
    "unet_lr": 1e-2,
    "text_encoder_lr": 5e-3,
    "batch_size": 2,
    "epochs": 1,
}

needs_sd_scripts = pytest.mark.skipif(
    paths.sd_scripts(Path(__file__).resolve().parents[2]) is None, reason="sd-scripts is not here: run 'make vendor'"
)


def view(**changes: Any) -> View:
    """The train stage's parameters, `SETTINGS` with changes."""
    params: Params = check(SETTINGS | changes)
    return View(params, "train")


def write_project(root: Path, model: Path, captions: list[str] = CAPTIONS, k: int = 1) -> Layout:
    """P, T_k, its images (in D_0, and every third one in D_1) and the record of M_0, below `root`."""
    layout = Layout(root)
    noise = np.random.default_rng(0)
    rows = []
    for index, caption in enumerate(captions):
        path = layout.images(1 if index % 3 == 2 else 0) / f"{index:05d}.png"
        write_bytes(path, encode_png(noise.integers(0, 256, (RESOLUTION, RESOLUTION, 3), dtype=np.uint8)))
        row = {"path": path.relative_to(root).as_posix(), "prompt_index": index, "caption": caption, "k": 0,
               "sha256": sha256_file(path)}  # fmt: skip
        rows.append(row)
    write_jsonl(layout.training_set(k), rows)
    write_jsonl(layout.prompts, [{"index": i, "name": str(i), "prompt": caption} for i, caption in enumerate(captions)])
    files = base_files(model) if model.is_dir() else {}
    write_json(layout.base_record(), {"model": str(model), "vae": None, "sha256": base_hash(files), "files": files})
    return layout


def settings_of(layout: Layout, **changes: object) -> TrainSettings:
    """What the builtin trainer reads of the project, M_1's input files written first."""
    from pipeline.train import config
    from pipeline.train.settings import read_settings
    from pipeline.train.training_inputs import read_inputs

    params = view(**changes)
    job = read_inputs(params, 1, layout)
    for name, text in config.texts(params, job, layout.model(1), layout.root).items():
        write_bytes(layout.model(1) / name, text.encode())
    return read_settings(layout.model(1) / "train.toml", layout.root)
