"""CPU seconds and peak memory of all that reads whole image sets, for 1,000, 10,000 and 100,000 images of 32x32 pixels.

python -m benchmarks.large_sets [--images 1000,10000] [--width 256] [--folder FOLDER] [--loose]

Each step runs in a process of its own on a chain of two sets, D_0 and D_1, with invented features.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from pipeline.chain.params import Params, View, check
from pipeline.chain.paths import Layout, image_name

SIDE, TILES, PICKS = 32, 100, 1000
GRAPH = """
stages:
  prepare: {cmd: "true", outs: [data/D_0, data/prompts.jsonl, data/T_0.jsonl, models/M_0]}
  train: {cmd: "true", outs: [data/T_1.jsonl, models/M_1]}
  sample: {cmd: "true", outs: [data/D_1, traces/1.safetensors]}
  measure: {cmd: "true", outs: [features/0.safetensors, features/1.safetensors, metrics/0.json, metrics/1.json]}
  analyse: {cmd: "true", outs: [analysis/0.json, analysis/0.safetensors, analysis/1.json, analysis/1.safetensors]}
"""


@dataclass(frozen=True)
class Case:
    """A chain of two sets of `images` images, in `root`; a clone that fetches it is `root`/../clone."""

    root: Path
    images: int
    width: int
    loose: bool

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def clone(self) -> Path:
        return self.root.with_name("clone")


def parameters() -> Params:
    return check({"iterations": {"1": {"prev": 0}}, "trainer": "builtin"})


def write(case: Case) -> None:
    """D_0 and D_1 as shards (or files), features, traces and a model: what the stages would have left."""
    from pipeline.chain.image_sets import write_set
    from pipeline.chain.shards import LOOSE, Sharding
    from pipeline.core.files import write_bytes, write_text
    from pipeline.core.images import encode_png
    from pipeline.core.json_files import write_json, write_jsonl

    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (TILES, SIDE // 8, SIDE // 8, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)

    def png(k: int, i: int) -> bytes:
        grain = np.random.default_rng((k, i)).integers(0, 8 * (k + 1), (SIDE, SIDE, 1), dtype=np.uint8)
        return encode_png(tiles[i % TILES] // 2 + grain)

    layout = case.layout
    prompts = [f"a small creature, number {i} of a large set, drawn with thick outlines" for i in range(case.images)]
    write_jsonl(layout.prompts, [{"index": i, "name": f"{i:05d}", "prompt": text} for i, text in enumerate(prompts)])
    write_text(layout.training_set(0), "\n")
    write_json(layout.base_record(), {"files": {}, "model": "models/none", "sha256": "0" * 64, "vae": None})
    for k in range(2):
        rows = [
            {"file": image_name(i), "prompt_index": i, "image_index": 0, "prompt": text, "seed": i if k else None}
            for i, text in enumerate(prompts)
        ]
        layout.images(k).mkdir(parents=True)
        write_set(layout.images(k), k, rows, lambda i, k=k: png(k, i), LOOSE if case.loose else Sharding(0, 1000))  # type: ignore[misc]
    write_bytes(layout.lora(1), b"lora")
    write_text(layout.losses(1), "step,loss\n1,0.1\n")


def invent(case: Case) -> None:
    """Traces of D_1, with latents of the size of these images."""
    import torch

    from pipeline.core.tensors import save_tensors

    noise = torch.Generator().manual_seed(0)
    latents = torch.randn(case.images, 4, SIDE // 8, SIDE // 8, generator=noise)
    steps = {"sigmas": torch.linspace(14.6, 0.03, 30), "scales": torch.ones(30)}
    save_tensors(
        case.layout.traces(1), {"diff_norm": torch.rand(case.images, 30, generator=noise), "latents": latents, **steps}
    )


def curate(case: Case) -> None:
    from pipeline.curate import stage

    stage.run(View(parameters(), "curate"), 1, case.layout)


def measure(case: Case) -> None:
    """Both sets' metrics from given features: FID with its floor, recall, scores, entropies."""
    from pipeline.chain.image_sets import read_manifest
    from pipeline.measure.sets import SeenImages
    from pipeline.measure.stage import measure_drawn, measure_real

    feature = {"name": "invented", "dimension": case.width, "preprocessing": "none"}
    params = View(parameters(), "measure")
    for k in range(2):
        rng = np.random.default_rng(k)
        image = rng.standard_normal((case.images, case.width), dtype=np.float32) * (1.0 + 0.1 * k)
        seen = SeenImages(image, image[:, :32], {"power": [0.09, 0.11], "saturation": [0.5]}, feature)
        if k == 0:
            measure_real(params, case.layout, read_manifest(case.layout, 0), seen, image[:, :32])
        else:
            measure_drawn(params, 1, case.layout, read_manifest(case.layout, 1), seen)


def select(case: Case) -> None:
    """The first picks of the greedy rule, from both sets together."""
    from pipeline.chain.image_sets import features_of
    from pipeline.methods.selection import greedy

    rows = [{"k": k, "prompt_index": i, "image_index": 0} for k in range(2) for i in range(case.images)]
    greedy(features_of(case.layout, rows), min(PICKS, case.images), np.random.default_rng(0))


def analyse(case: Case) -> None:
    """Spectra, fingerprint, colours and latents of D_1."""
    from pipeline.analyse import stage

    stage.run(View(parameters(), "analyse"), 1, case.layout)


def report(case: Case) -> None:
    """The page of D_0 and D_1; D_1's spectra stand in for D_0's."""
    from pipeline.report import stage

    shutil.copy(case.layout.analysis(1), case.layout.analysis(0))
    shutil.copy(case.layout.analysis_maps(1), case.layout.analysis_maps(0))
    stage.run(View(parameters(), "report"), case.layout)


def commit(case: Case) -> None:
    """Have DVC hash the outputs into its cache and write dvc.lock."""
    from dvc.repo import Repo

    (case.root / "dvc.yaml").write_text(GRAPH)
    (case.root / "params.yaml").write_text("seed: 0\n")
    (case.root / ".gitignore").write_text("/plots\n/report\n")
    remote = case.root.with_name("remote")
    remote.mkdir()
    git = ["git", "-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=case.root, check=True)
    Repo.init(str(case.root)).close()
    (case.root / ".dvc/config").write_text(f"[core]\n    remote = near\n['remote \"near\"']\n    url = {remote}\n")
    with chdir(case.root), Repo(".") as repo:
        repo.commit(force=True)
    subprocess.run([*git, "add", "-A"], cwd=case.root, check=True)
    subprocess.run([*git, "commit", "-qm", "run"], cwd=case.root, check=True)
    subprocess.run(["git", "clone", "-q", str(case.root), str(case.clone)], check=True)


def push(case: Case) -> None:
    from pipeline.provenance.share.sharing import share

    share(case.root, [], None, False, None, "origin")


def pull(case: Case) -> None:
    from pipeline.provenance.share import transfer

    transfer.pull(case.clone, [], None, False)


def verify(case: Case) -> None:
    from pipeline.provenance.verify.audit import audit

    if found := audit(case.clone).findings:
        raise SystemExit(f"the clone is not sound: {found[0]}")


@dataclass(frozen=True)
class Step:
    """What is timed, and the modules whose loading is not."""

    run: Callable[[Case], None]
    modules: tuple[str, ...]


STEPS = {
    "write D_0, D_1": Step(write, ("pipeline.chain.image_sets",)),
    "traces": Step(invent, ("torch",)),
    "curate": Step(curate, ("pipeline.curate.stage",)),
    "measure, given features": Step(measure, ("pipeline.measure.stage",)),
    f"greedy, {PICKS} picks": Step(select, ("pipeline.methods.selection",)),
    "spectra": Step(analyse, ("pipeline.analyse.stage",)),
    "report": Step(report, ("pipeline.report.stage", "sklearn.manifold")),
    "dvc commit": Step(commit, ("dvc.repo",)),
    "push": Step(push, ("pipeline.provenance.share.sharing", "dvc.repo")),
    "pull": Step(pull, ("pipeline.provenance.share.transfer", "dvc.repo")),
    "verify --all": Step(verify, ("pipeline.provenance.verify.audit",)),
}


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock and of all the process's threads, and its peak memory in MiB."""

    clock: float
    work: float
    peak: float


def run_step(name: str, case: Case) -> Cost:
    """One step in a process of its own."""
    words = [
        sys.executable,
        "-m",
        "benchmarks.large_sets",
        "--step",
        name,
        "--case",
        json.dumps([str(case.root), *_sizes(case)]),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def _sizes(case: Case) -> tuple[int, int, bool]:
    return case.images, case.width, case.loose


def in_child(step: Step, case: Case) -> None:
    """Do the step, and print what it cost on the last line."""
    for module in step.modules:
        import_module(module)
    clock, work = time.perf_counter(), time.process_time()
    step.run(case)
    clock, work = time.perf_counter() - clock, time.process_time() - work
    print(json.dumps([clock, work, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def table(results: dict[int, dict[str, Cost]]) -> str:
    """A row for each step, a column for each number of images, in Markdown: CPU seconds, which other work does not lengthen."""
    head = "| step | " + " | ".join(f"{images:,} images" for images in results) + " |"
    lines = [head, "|---" * (len(results) + 1) + "|"]
    for name in STEPS:
        costs = [found[name] for found in results.values() if name in found]
        lines.append(f"| {name} | " + " | ".join(f"{cost.work:.1f} s, {cost.peak:,.0f} MiB" for cost in costs) + " |")
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", default="1000,10000,100000", help="how many, with commas between")
    arguments.add_argument("--width", type=int, default=256, help="dimensions of the features")
    arguments.add_argument("--folder", type=Path, help="where the chains are written, and removed at the end")
    arguments.add_argument("--loose", action="store_true", help="every image a file, no shards")
    arguments.add_argument("--step", help=argparse.SUPPRESS)
    arguments.add_argument("--case", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.step:
        root, *sizes = json.loads(given.case)
        in_child(STEPS[given.step], Case(Path(root), *sizes))
        return
    results: dict[int, dict[str, Cost]] = {}
    for images in map(int, given.images.split(",")):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            case = Case(Path(folder) / "chain", images, given.width, given.loose)
            case.root.mkdir()
            results[images] = {}
            for name in STEPS:
                cost = results[images][name] = run_step(name, case)
                print(
                    f"{images:>7,} {name:<24} {cost.work:8.1f} CPU s {cost.clock:8.1f} s {cost.peak:7.0f} MiB",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
            shutil.rmtree(case.root, ignore_errors=True)
    print(f"{os.cpu_count()} cores, features of {given.width} dimensions, {'files' if given.loose else 'shards of 1000'}\n")
    print(table(results))


if __name__ == "__main__":
    main()
