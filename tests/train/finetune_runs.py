"""What a user of kohya's scripts has: pictures of mixed sizes with captions, a dataset TOML, a config TOML."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import toml
from PIL import Image

from pipeline.chain import paths
from pipeline.inputs.base_models.tokenizers import lay_out_for_sd_scripts

REPOSITORY = Path(__file__).resolve().parents[2]
SIZES = [(128, 128), (190, 128), (128, 190), (256, 96), (130, 120), (96, 250)]
DATASET = {
    "datasets": [
        {
            "resolution": 128,
            "batch_size": 2,
            "enable_bucket": True,
            "min_bucket_reso": 64,
            "max_bucket_reso": 256,
            "subsets": [{"image_dir": "img/2_creature", "caption_extension": ".txt", "num_repeats": 2}],
        }
    ]
}
CONFIG: dict[str, Any] = {
    "network_module": "networks.lora",
    "network_dim": 4,
    "network_alpha": 2,
    "dataset_config": "dataset.toml",
    "output_dir": "out",
    "output_name": "mine",
    "max_train_steps": 5,
    "seed": 3,
    "unet_lr": 1e-2,
    "text_encoder_lr": 5e-3,
    "sdpa": True,
    "max_data_loader_n_workers": 0,
}


def write_run(root: Path, model: Path, captions: bool = True, **changes: Any) -> Path:
    """Write a user's folder; `changes` of the config, None to leave a key out. Without captions, all of them are empty."""
    noise = np.random.default_rng(0)
    pictures = root / "img/2_creature"
    pictures.mkdir(parents=True)
    for index, (width, height) in enumerate(SIZES):
        Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(pictures / f"{index}.png")
        (pictures / f"{index}.txt").write_text(f"a round red creature, {index} horns\n" if captions else "\n")
    (root / "dataset.toml").write_text(toml.dumps(DATASET))
    tokenizers = lay_out_for_sd_scripts(model, root)
    values = CONFIG | {"pretrained_model_name_or_path": str(model), "tokenizer_cache_dir": str(tokenizers)} | changes
    sections = {"everything": {key: value for key, value in values.items() if value is not None}}
    (root / "config.toml").write_text(toml.dumps(sections))
    return root


def job(out: Path, cwd: Path, model: Path, drop: float | None, *options: str, family: str = "sd1") -> dict[str, Any]:
    """Describe a run, of the unmodified script where `drop` is None, whose LoRA goes to `out`."""
    task = None if drop is None else {"config": "config.toml", "condition_drop": drop, "device": "cpu", "folder": str(out)}
    argv = ["--config_file", "config.toml", "--output_dir", str(out), *options]
    scripts = str(paths.sd_scripts(REPOSITORY))
    return {
        "cwd": str(cwd),
        "out": str(out),
        "argv": argv,
        "family": family,
        "task": task,
        "model": str(model),
        "scripts": scripts,
    }


def run_jobs(folder: Path, jobs: list[dict[str, Any]]) -> None:
    """Do all jobs, in a process that has imported sd-scripts once."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    script = [sys.executable, str(Path(__file__).with_name("finetune_jobs.py")), str(folder / "jobs.json"), jobs[0]["scripts"]]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "",
                                "ACCELERATE_USE_CPU": "true"}  # fmt: skip
    subprocess.run(script, env=environment, check=True)


def command_line(cwd: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `redifine finetune` as a user does."""
    values = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | environment
    command = [sys.executable, "-m", "pipeline", "finetune", *words]
    return subprocess.run(command, cwd=cwd, env=values, capture_output=True, text=True, check=False)
