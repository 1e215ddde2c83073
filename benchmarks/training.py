"""Training steps per second: the builtin trainer against sd-scripts, on one pair of TOMLs, in one run.

Usage: python -m benchmarks.training [STEPS]
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.chain.params import View, check
from pipeline.chain.paths import Layout
from pipeline.core.files import project_root, write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.core.json_files import write_json, write_jsonl
from pipeline.train import config
from pipeline.train.builtin import train
from pipeline.train.kohya import launch
from pipeline.train.kohya.launch import Options
from pipeline.train.settings import read_settings
from pipeline.train.step_noise import NoiseSource, SeededNoise, StepNoise
from pipeline.train.training_inputs import copy_tokenizer, read_inputs

BATCH, IMAGES, RESOLUTION = 8, 64, 64
_RATE = re.compile(r"([\d.]+)(it/s|s/it)")


@dataclass
class Timed:
    """NoiseSource that note when each step begins."""

    draws: NoiseSource
    starts: list[float] = field(default_factory=list)

    def __call__(self, step: int) -> StepNoise:
        self.starts.append(time.perf_counter())
        return self.draws(step)


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    root = project_root(Path.cwd()).resolve()
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        params = write_project(layout, base_model(root, Path(folder)), steps)
        vendor = Path(folder) / "vendor"
        vendor.mkdir()
        (vendor / "sd-scripts").symlink_to(launch.find_sd_scripts(root))
        began = time.perf_counter()
        theirs = rate_of_sd_scripts(layout, params)
        between = time.perf_counter()
        ours = rate_of_builtin(layout)
        ended = time.perf_counter()
    print(
        f"builtin {ours:.2f} it/s, sd-scripts {theirs:.2f} it/s at batch {BATCH}: {ours / theirs:.2f} times as fast; "
        f"{steps} steps with start-up {ended - between:.0f} s and {between - began:.0f} s: "
        f"{(between - began) / (ended - between):.2f} times as fast"
    )


def base_model(root: Path, folder: Path) -> Path:
    """The miniature; where it is not built, random weights of its shape."""
    if (root / "models/miniature/unet").is_dir():
        return root / "models/miniature"
    sys.path.insert(0, str(root / "tests"))
    from transformers import CLIPTextModel, CLIPTokenizer

    from pipeline.miniature.clip_towers import new_clip
    from pipeline.miniature.unet import new_unet
    from pipeline.miniature.vae import new_vae
    from tiny import write_tiny_model

    base = write_tiny_model(folder / "base")
    vocabulary = len(CLIPTokenizer.from_pretrained(base, subfolder="tokenizer"))
    CLIPTextModel(new_clip(vocabulary).config.text_config).save_pretrained(base / "text_encoder")
    new_vae().save_pretrained(base / "vae")
    new_unet().save_pretrained(base / "unet")
    return base


def write_project(layout: Layout, model: Path, steps: int) -> View:
    """P, T_1 of noise images and M_1's input files; returns the parameters."""
    iterations = {"1": {"prev": 0}}
    params = View(check({"iterations": iterations, "batch_size": BATCH, "epochs": steps, "resolution": RESOLUTION}), "train")
    noise = np.random.default_rng(0)
    rows = [{"path": f"data/D_0/{i:05d}.png", "caption": f"a round red creature {i}"} for i in range(IMAGES)]
    for row in rows:
        pixels = noise.integers(0, 256, (RESOLUTION, RESOLUTION, 3), dtype=np.uint8)
        write_bytes(layout.root / row["path"], encode_png(pixels))
    write_jsonl(layout.training_set(1), rows)
    write_jsonl(layout.prompts, rows[:BATCH])
    write_json(layout.base_record(), {"model": str(model), "vae": None, "sha256": "0" * 64, "files": {}})
    job = read_inputs(params, 1, layout)
    copy_tokenizer(job, layout)
    for name, text in config.texts(params, job, layout.model(1), layout.root).items():
        write_text(layout.model(1) / name, text)
    return params


def rate_of_sd_scripts(layout: Layout, params: View) -> float:
    """Steps per second as its own progress bar gives them: without start-up."""
    options = Options(0.0, str(layout.losses(1)), "sd1")
    log = layout.log("train", 1)
    launch.run(layout.model(1) / "train.toml", layout.root, "cpu", options, params.epochs, log, local_model=True)
    number, unit = _RATE.findall(log.read_text())[-1]
    return float(number) if unit == "it/s" else 1 / float(number)


def rate_of_builtin(layout: Layout) -> float:
    """Steps per second between the first and the last step: without loading and encoding."""
    settings = read_settings(layout.model(1) / "train.toml", layout.root)
    latent = RESOLUTION // 8
    timed = Timed(SeededNoise(0, IMAGES, BATCH, (4, latent, latent), settings.flip, 0.0, 0.0, train_steps=1000))
    train(settings, layout.root, "cpu", noise_source=timed)
    return (len(timed.starts) - 1) / (timed.starts[-1] - timed.starts[0])


if __name__ == "__main__":
    main()
