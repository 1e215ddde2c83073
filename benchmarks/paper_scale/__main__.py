"""Measure everything that docs/performance.md says and print it beside the floors.

python -m benchmarks.paper_scale [--device cuda|cpu] [--quick] [--only PART ...] [--batch N ...] [--way WAY] [--out r.json]

It can be done in pieces, where time on a GPU is short: each number is in the file as soon as it is known, commands with the
same --out add to one file, and the last one prints all of the aims.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import os
import platform
import traceback
from collections.abc import Callable
from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import click
import torch

from benchmarks.paper_scale import attention, floors, iteration, memory, numerics, sampling, training
from benchmarks.paper_scale.models import random_sd15, write_sd15
from benchmarks.paper_scale.scale import Keep, Scale, scale_of
from pipeline.core.files import project_root
from pipeline.core.json_files import read_json, write_json
from pipeline.diffusion.devices import dtype_of
from pipeline.train.kohya.launch import find_sd_scripts

PARTS = ("memory", "sampling", "training", "iteration", "numerics", "attention")


@click.command()
@click.option("--device", default=None, help="cuda, cuda:N or cpu; default: a GPU where there is one.")
@click.option("--quick", is_flag=True, help="A few minutes: fewer batches, updates and repeats.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Only these parts.")
@click.option("--batch", "batches", type=click.IntRange(min=1), multiple=True, help="Only these batches in sampling.")
@click.option("--way", "ways", type=click.Choice(sampling.WAYS), multiple=True, help="Only so in sampling.")
@click.option("--model", type=click.Path(path_type=Path), default=Path("scratch/sd15-random"), show_default=True,
              help="Where SD 1.5 with random weights is, or will be written (4.3 GB).")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Write the numbers here, as JSON.")
def main(
    device: str | None, quick: bool, only: tuple[str, ...], batches: tuple[int, ...], ways: tuple[str, ...], model: Path,
    out: Path | None,
) -> None:  # fmt: skip
    """Compare with diffusers and sd-scripts on SD 1.5 with random weights, and with what nothing can beat."""
    scale = scale_of(device or ("cuda" if torch.cuda.is_available() else "cpu"), quick)
    scale = replace(scale, batches=batches or scale.batches, ways=ways or scale.ways)
    machine = describe(scale.device)
    print(f"{machine}; {scale}", flush=True)
    found = earlier(out, machine)

    def keep(part: str, numbers: dict[str, float]) -> None:
        found[part] = found.get(part, {}) | numbers
        if out:
            write_json(out, {"machine": machine, "scale": str(scale), "found": found})

    def keeper(part: str) -> Keep:
        return lambda name, value: keep(part, {name: value})

    for part in only or PARTS:
        print(f"\n{part}", flush=True)
        keep(part, attempted(part, replace(scale, keep=keeper(part)), model, found))
    if scale.on_gpu:
        print_aims(found)


def earlier(out: Path | None, machine: str) -> dict[str, dict[str, float]]:
    """What commands before this one have found on the same machine."""
    known = read_json(out) if out and out.is_file() else {}
    return known["found"] if known.get("machine") == machine else {}


def attempted(part: str, scale: Scale, model: Path, found: dict[str, dict[str, float]]) -> dict[str, float]:
    """A part's numbers; none when it fails."""
    try:
        return RUNS[part](scale, model, found)
    # Whatever goes wrong in one part, the others are worth having.
    except Exception:
        traceback.print_exc()
        return {}


def describe(device: str) -> str:
    """The machine in words: processor or GPU, threads, torch."""
    if device != "cpu":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    cores = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    return f"{cores}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def run_sampling(scale: Scale, model: Path, found: dict[str, dict[str, float]]) -> dict[str, float]:
    loaded = random_sd15().move_to(scale.device, dtype_of(scale.precision, scale.device))
    return sampling.compare(loaded, scale)


def run_training(scale: Scale, model: Path, found: dict[str, dict[str, float]]) -> dict[str, float]:
    return training.compare(write_sd15(model), scale, find_sd_scripts(project_root(Path.cwd())))


def run_iteration(scale: Scale, model: Path, found: dict[str, dict[str, float]]) -> dict[str, float]:
    if not (found.get("sampling") and found.get("training")):
        print("needs the parts sampling and training, in this run or in an earlier one with the same --out")
        return {}
    measuring = iteration.measuring_seconds(scale)
    result = {"measuring 1000 images, seconds": measuring}
    for ours, trainer in (("ours", "builtin"), ("diffusers", "sd-scripts")):
        images, updates = best(found["sampling"], ours), found["training"].get(f"{trainer}, live latents", nan)
        if not isnan(total := iteration.minutes(images, updates, measuring)):
            result[f"{trainer} and {ours}, minutes"] = total
    for name, value in result.items():
        print(f"{name:40} {value:8.1f}", flush=True)
    return result


def run_numerics(scale: Scale, model: Path, found: dict[str, dict[str, float]]) -> dict[str, float]:
    at_size = write_sd15(model) if scale.on_gpu else None
    return numerics.compare(Path("models/miniature"), scale, at_size)


def run_attention(scale: Scale, model: Path, found: dict[str, dict[str, float]]) -> dict[str, float]:
    if not scale.on_gpu:
        print("only on a GPU")
        return {}
    forward, both = attention.compare(scale.device, 16, False), attention.compare(scale.device, training.BATCH, True)
    return forward | {f"{name}, with gradients": value for name, value in both.items()}


def run_memory(scale: Scale, model: Path, found: dict[str, dict[str, float]]) -> dict[str, float]:
    result = memory.estimates()
    for name, gigabytes in result.items():
        print(f"{name:60} {gigabytes:6.1f} GB (estimate)", flush=True)
    return result


RUNS: dict[str, Callable[[Scale, Path, dict[str, dict[str, float]]], dict[str, float]]] = {
    "memory": run_memory,
    "sampling": run_sampling,
    "training": run_training,
    "iteration": run_iteration,
    "numerics": run_numerics,
    "attention": run_attention,
}


def best(rates: dict[str, float], whose: str) -> float:
    """The highest rate of one sampler, over batches, plain or compiled; NaN where there is none."""
    return max((rate for name, rate in rates.items() if name.startswith(whose)), default=nan)


def print_aims(found: dict[str, dict[str, float]]) -> None:
    """What was reached beside what was aimed at, and the share of the floor."""
    reached: dict[str, float] = {}
    if rates := found.get("sampling"):
        reached |= {
            "sampling, images/s": best(rates, "ours"),
            "sampling, times compiled diffusers": best(rates, "ours") / best(rates, "diffusers, compiled"),
        }
        print(f"\nsampling reaches {best(rates, 'ours') * floors.image_seconds():.0%} of the floor")
    if rates := found.get("training"):
        ours, theirs = (rates.get(f"{trainer}, cached latents", nan) for trainer in ("builtin", "sd-scripts"))
        reached |= {"training, updates/s": ours, "training, times sd-scripts": ours / theirs}
        print(f"training reaches {ours * floors.STEP_SECONDS:.0%} of the floor")
    if minutes := found.get("iteration"):
        reached["one iteration, minutes"] = minutes.get("builtin and ours, minutes", nan)
    for name, value in reached.items():
        met = value <= floors.AIMS[name] if "minutes" in name else value >= floors.AIMS[name]
        print(f"{name:40} {value:8.2f}, aim {floors.AIMS[name]:g}: {'met' if met else 'NOT met'}")


if __name__ == "__main__":
    main()
