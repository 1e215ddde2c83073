"""What the analyses of one iteration cost: ms an image of each part, seconds of the whole stage, peak memory.

    python benchmarks/analyses.py [IMAGES]

The images (512x512, of natural statistics, with noise) and the traces are made in a temporary folder.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import safetensors.numpy

from pipeline.analyse import stage
from pipeline.analyse.denoise import load_denoiser, wavelet
from pipeline.analyse.fingerprint import residual_power
from pipeline.analyse.image_statistics import colour_moments
from pipeline.analyse.latents import distribution
from pipeline.analyse.spectrum import standard_spectrum
from pipeline.chain.image_sets import load_checked
from pipeline.chain.params import View, check
from pipeline.chain.paths import Layout, image_name
from pipeline.core.files import sha256_bytes, write_bytes
from pipeline.core.images import encode_png
from pipeline.core.json_files import write_jsonl
from pipeline.core.machine import cores
from pipeline.methods.measures.power import high_frequency_power
from pipeline.methods.measures.saturation import saturation

IMAGES, SIDE, STEPS, PICTURES, REPEATS = 1000, 512, 30, 16, 20


def picture(seed: int) -> np.ndarray:
    """[512,512,3] uint8 with the 1/f spectrum of photographs, and noise of standard deviation 3."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij"))
    shape = (3, *frequency.shape)
    spectrum = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.maximum(frequency, 1 / SIDE)
    values = np.fft.irfft2(spectrum, (SIDE, SIDE)).transpose(1, 2, 0)
    values = 128 + 45 * (values - values.mean()) / values.std() + rng.normal(0.0, 3.0, values.shape)
    return np.ascontiguousarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def write_iteration(layout: Layout, images: int) -> None:
    """D_1 (a few pictures again and again) and its traces."""
    contents = [encode_png(picture(seed)) for seed in range(PICTURES)]
    rows = []
    for index in range(images):
        content = contents[index % PICTURES]
        write_bytes(layout.images(1) / image_name(index), content)
        name = image_name(index)
        rows.append({"file": name, "prompt_index": index, "image_index": 0, "prompt": "", "sha256": sha256_bytes(content)})
    write_jsonl(layout.manifest(1), rows)
    rng = np.random.default_rng(0)
    tensors = {
        "diff_norm": rng.normal(size=(images, STEPS)),
        "latents": rng.normal(size=(images, 4, SIDE // 8, SIDE // 8)),
        "sigmas": np.linspace(14.6, 0.03, STEPS),
        "scales": np.full(STEPS, 7.5),
    }
    content = safetensors.numpy.save({name: values.astype(np.float32) for name, values in tensors.items()})
    write_bytes(layout.traces(1), content)


def milliseconds(work: Callable[[], object]) -> float:
    """The fewest of `REPEATS` runs, in processor time: other programs on the machine count little."""
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return 1000 * min(seconds)


def print_parts(layout: Layout) -> None:
    """One image through each part, in one thread."""
    cv2.setNumThreads(1)
    path = layout.images(1) / image_name(0)
    image, row = picture(0), {"file": path.name, "sha256": sha256_bytes(path.read_bytes())}
    latents = np.random.default_rng(0).normal(size=(4, SIDE // 8, SIDE // 8)).astype(np.float32)
    non_local = load_denoiser("nlm")
    parts: dict[str, Callable[[], object]] = {
        "decode and check the hash": lambda: load_checked(path.parent, row),
        "spectra": lambda: (standard_spectrum(image), high_frequency_power(image, 0.02)),
        "  radial and angular": lambda: standard_spectrum(image),
        "  S": lambda: high_frequency_power(image, 0.02),
        "fingerprint (wavelet)": lambda: residual_power(image, wavelet),
        "colour": lambda: (saturation(image), colour_moments(image)),
        "latents": lambda: distribution([latents]),
        "(fingerprint by nlm)": lambda: residual_power(image, non_local),
    }
    print(f"{path.stat().st_size / 1000:.0f} kB a PNG; best of {REPEATS}, one thread:")
    for name, work in parts.items():
        print(f"  {name:26s}{milliseconds(work):8.2f} ms an image")


def run_stage(layout: Layout) -> None:
    """Time the stage."""
    params = View(check({"iterations": {"1": {"prev": 0}}}), "analyse")
    started, busy = time.perf_counter(), time.process_time()
    stage.run(params, 1, layout)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"the whole stage on {len(cores())} threads: {seconds:.1f} s ({busy:.1f} s of processor time), {memory:.0f} MiB")


def in_own_process(work: Callable[..., None], *arguments: object) -> None:
    """So that the peak memory of one part is not that of another."""
    process = get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        in_own_process(write_iteration, layout, images)
        print(f"{images} images of {SIDE}x{SIDE}", flush=True)
        in_own_process(print_parts, layout)
        in_own_process(run_stage, layout)


if __name__ == "__main__":
    main()
