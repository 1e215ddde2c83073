"""Updates per second of the builtin trainer and of sd-scripts, on one pair of TOMLs, without start-up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.paper_scale.models import CAPTION
from benchmarks.paper_scale.scale import Scale, compiling, synchronize
from pipeline.chain.params import View, check
from pipeline.chain.paths import Layout
from pipeline.core.files import write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.core.json_files import write_json, write_jsonl
from pipeline.diffusion.compiled import release_memory
from pipeline.train import config
from pipeline.train.builtin import train
from pipeline.train.kohya import launch
from pipeline.train.kohya.launch import Options
from pipeline.train.settings import read_settings
from pipeline.train.step_noise import NoiseSource, SeededNoise, StepNoise
from pipeline.train.training_inputs import copy_tokenizer, read_inputs

BATCH = 6


@dataclass
class Clock:
    """When each update began, or was seen to be done."""

    times: list[float] = field(default_factory=list)

    def rate(self, skipped: int) -> float:
        """Updates per second after the first `skipped`."""
        return (len(self.times) - 1 - skipped) / (self.times[-1] - self.times[skipped])


@dataclass
class TimedNoise:
    """Notes when each step begins; at the steps `ends`, between which is timed, with all work before them done."""

    draws: NoiseSource
    clock: Clock
    device: str
    ends: tuple[int, int]

    def __call__(self, step: int) -> StepNoise:
        if step in self.ends:
            synchronize(self.device)
        self.clock.times.append(time.perf_counter())
        return self.draws(step)


def compare(model: Path, scale: Scale, vendored: Path) -> dict[str, float]:
    """{"builtin, cached latents": updates per second, ...}, the trainers taking turns."""
    found: dict[str, float] = {}
    runs: dict[str, Callable[[Layout, Scale], float]] = {"builtin": rate_of_builtin, "sd-scripts": rate_of_sd_scripts}
    for cached in (True, False):
        for name, run in runs.items():
            label = f"{name}, {'cached' if cached else 'live'} latents"
            with TemporaryDirectory() as folder:
                layout = Layout(Path(folder))
                write_project(layout, model, scale, cached)
                (layout.root / "vendor").mkdir()
                (layout.root / "vendor/sd-scripts").symlink_to(vendored.resolve())
                release_memory()  # sd-scripts, a process of its own, needs what this one still holds of the GPU
                found[label] = run(layout, scale)
                scale.keep(label, found[label])
            print(f"{label:32} {found[label]:8.3f} updates/s at batch {BATCH}", flush=True)
    return found


def write_project(layout: Layout, model: Path, scale: Scale, cached: bool) -> None:
    """P, T_1 of noise images and M_1's input files, with Table 1's values."""
    params = View(
        check(
            {
                "iterations": {"1": {"prev": 0}}, "batch_size": BATCH, "updates": scale.updates, "resolution": scale.side,
                "rank": 32, "alpha": 8.0, "unet_lr": 1e-4, "text_encoder_lr": 5e-5, "precision": scale.precision,
                "max_token_length": scale.tokens, "cache_latents": cached,
            }
        ),
        "train",
    )  # fmt: skip
    noise = np.random.default_rng(0)
    rows = [{"path": f"data/D_0/{i:05d}.png", "caption": f"{CAPTION} {i}"} for i in range(8 * BATCH)]
    for row in rows:
        pixels = noise.integers(0, 256, (scale.side, scale.side, 3), dtype=np.uint8)
        write_bytes(layout.root / row["path"], encode_png(pixels))
    write_jsonl(layout.training_set(1), rows)
    write_jsonl(layout.prompts, rows)
    write_json(layout.base_record(), {"model": str(model.resolve()), "vae": None, "sha256": "0" * 64, "files": {}})
    job = read_inputs(params, 1, layout)
    copy_tokenizer(job, layout)
    workers = 2 if scale.on_gpu else 0
    for name, text in config.texts(params, job, layout.model(1), layout.root, workers).items():
        write_text(layout.model(1) / name, text)


def rate_of_builtin(layout: Layout, scale: Scale) -> float:
    settings = read_settings(layout.model(1) / "train.toml", layout.root)
    latent = scale.side // 8
    draws = SeededNoise(0, len(settings.examples), BATCH, (4, latent, latent), settings.flip, 0.0, 0.0, train_steps=1000)
    clock = Clock()
    # On a GPU compiled, as the 16,800 updates of a real run are.
    with compiling(scale.on_gpu):
        timed = TimedNoise(draws, clock, scale.device, (scale.skipped, scale.updates - 1))
        train(settings, layout.root, scale.device, noise_source=timed)
    return clock.rate(scale.skipped)


def rate_of_sd_scripts(layout: Layout, scale: Scale) -> float:
    """Timed by the growth of the loss file, since sd-scripts' own rate counts its slow first steps."""
    options = Options(0.0, str(layout.losses(1)), "sd1")
    clock, done = Clock(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(layout.losses(1), clock, done))
    watcher.start()
    try:
        toml, log = layout.model(1) / "train.toml", layout.log("train", 1)
        launch.run(toml, layout.root, scale.device, options, scale.updates, log, local_model=True)
    finally:
        done.set()
        watcher.join()
    return clock.rate(scale.skipped)


def _watch(loss_file: Path, clock: Clock, done: threading.Event) -> None:
    while not done.wait(0.01):
        fresh = len(launch.read_losses(loss_file)) - len(clock.times)
        clock.times += [time.perf_counter()] * fresh
