"""A small synthetic chain with all of its records: manifests, lineage.json, base.json and, when asked, dvc.lock."""

from __future__ import annotations

import os
import subprocess
from contextlib import chdir
from pathlib import Path

import numpy as np
import torch

from chains import parameters, write_chain
from pipeline.chain.paths import Layout
from pipeline.core.files import sha256_file, write_bytes
from pipeline.core.json_files import read_jsonl, write_json, write_jsonl
from pipeline.core.randomness import image_seed
from pipeline.core.tensors import save_tensors
from pipeline.diffusion.families.layouts import LAYOUTS
from pipeline.inputs.base_models.identity import base_files, base_hash

ITERATIONS, PROMPTS = 2, 5
MODEL = "models/tiny"

PIPELINE = """
stages:
  prepare:
    cmd: python -m pipeline prepare
    deps: [models/tiny, pipeline/prepare]
    params: [seed]
    outs: [data/D_0, data/prompts.jsonl, data/T_0.jsonl, models/M_0]
  reference:
    cmd: python -m pipeline measure --k 0
    deps: [data/D_0, models/tiny/clip]
    outs: [features/0.safetensors, metrics/0.json, analysis/0.json]
  measure:
    foreach: ${iterations}
    do:
      cmd: python -m pipeline measure --k ${key}
      deps: ["data/D_${key}", models/tiny/clip]
      outs: ["features/${key}.safetensors", "metrics/${key}.json", "analysis/${key}.json"]
  curate:
    foreach: ${iterations}
    do:
      cmd: python -m pipeline curate --k ${key}
      deps: [data/D_0, "data/D_${item.prev}/manifest.jsonl", "data/T_${item.prev}.jsonl", "features/${item.prev}.safetensors"]
      params: [seed, training_set]
      outs: ["data/T_${key}.jsonl"]
  train:
    foreach: ${iterations}
    do:
      cmd: python -m pipeline train --k ${key}
      deps: ["data/T_${key}.jsonl", "data/D_${item.prev}", data/prompts.jsonl, models/M_0/base.json, "models/M_${item.prev}"]
      params: [seed, start_from, trainer]
      outs: ["models/M_${key}"]
  sample:
    foreach: ${iterations}
    do:
      cmd: python -m pipeline sample --k ${key}
      deps: ["models/M_${key}", models/M_0, data/prompts.jsonl]
      params: [seed, cfg]
      outs: ["data/D_${key}", "traces/${key}.safetensors"]
"""


def write_recorded_chain(root: Path) -> Layout:
    """Everything that the stages write, with the hashes and seeds that they would record; no dvc.lock."""
    layout = write_chain(root, ITERATIONS, PROMPTS, size=16)
    for part in (*LAYOUTS["sd1"].parts, "clip"):
        write_bytes(root / MODEL / part / "weights.safetensors", f"{part} {np.arange(50).tolist()}".encode())
    files = base_files(root / MODEL)
    base = {"model": MODEL, "vae": None, "files": files, "sha256": base_hash(files)}
    write_json(layout.base_record(), base)
    for k in range(ITERATIONS + 1):
        if k:
            rows = [row | {"seed": image_seed(0, k, row["prompt_index"])} for row in read_jsonl(layout.manifest(k))]
            write_jsonl(layout.manifest(k), rows)
            _write_lineage(layout, k, base["sha256"])
        save_tensors(layout.features(k), {"image": torch.full((PROMPTS, 4), float(k))})
        write_json(layout.metrics(k), {"k": k, "fid": 10.0 * k})
        write_json(layout.analysis(k), {"k": k, "spectrum": list(range(20 + k))})
    return layout


def _write_lineage(layout: Layout, k: int, base: str) -> None:
    save_tensors(layout.lora(k), {"lora": torch.full((8,), float(k))}, {"ss_output_name": f"M_{k}"})
    record = {
        "k": k,
        "steps": 10,
        "trainer": "builtin",
        "made_on": {"device": "Abacus 9", "torch": "2.13.0"},
        "base_sha256": base,
        "lora_sha256": sha256_file(layout.lora(k)),
        "training_set_sha256": sha256_file(layout.training_set(k)),
        "previous_lora_sha256": None,
    }
    write_json(layout.model(k) / "lineage.json", record)


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def record_with_dvc(root: Path, message: str = "run") -> None:
    """Write dvc.yaml and params.yaml, have DVC record what is there as the stages' outputs, and Git all the rest."""
    from dvc.repo import Repo

    if not (root / ".dvc").is_dir():
        git(root, "init", "-q", "-b", "main")
        (root / ".gitignore").write_text("/data\n/models/M_*\n/traces\n/features\n/metrics\n/analysis\n")
        Repo.init(str(root)).close()
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "pipeline/prepare").mkdir(parents=True, exist_ok=True)
    (root / "pipeline/prepare/stage.py").write_text("# the code that ran\n")
    write_json(root / "params.yaml", parameters(ITERATIONS).model_dump())
    # DVC takes the run cache's paths from the current folder.
    with chdir(root), Repo(".") as repo:
        repo.commit(force=True)
    git(root, "add", "-A")
    git(root, "commit", "-qm", message)


def chain_paths(root: Path) -> list[str]:
    """Every file of the chain and its models, relative to the root."""
    folders = ("data", "models", "traces", "features", "metrics", "analysis")
    return sorted(
        (Path(where) / name).relative_to(root).as_posix()
        for folder in folders
        for where, _, names in os.walk(root / folder)
        for name in names
        if name != ".gitignore"
    )
