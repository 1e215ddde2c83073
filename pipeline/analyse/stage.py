"""Analyse the images of D_k and the sampler's traces: write analysis/k.json and analysis/k.safetensors."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from pipeline.analyse.denoise import load_denoiser
from pipeline.analyse.fingerprint import fingerprint
from pipeline.analyse.image_statistics import ImageStatistics, image_statistics, mean_statistics, standard_deviation
from pipeline.analyse.latents import Distribution, distribution
from pipeline.analyse.spectrum import Densities, densities
from pipeline.chain.image_sets import load_checked, read_manifest
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes
from pipeline.core.json_files import write_json
from pipeline.core.machine import cores
from pipeline.core.progress import Progress
from pipeline.core.tensors import read_array, read_array_in_parts


def run(params: View, k: int, layout: Layout, workers: int | None = None) -> None:
    """Write the spectra (G.3), fingerprint (G.4) and colours of D_k; for k >= 1 also Diff per step (G.2) and latents (G.1).

    `workers` threads (default: one a core) look at the images; their number does not change the result.
    Raise UserError on a missing or damaged image or trace, images of several sizes, or a denoiser without its weights.
    """
    with ThreadPoolExecutor(1) as background:
        reading = background.submit(_traces, layout.traces(k)) if k else None
        mean = _mean_statistics(params, k, layout, workers or len(cores()))
    traces = reading.result() if reading else {}
    mark = fingerprint(mean.residual)
    maps = {"residual_spectrum": mark.residual_spectrum, "autocorrelation": mark.autocorrelation}
    write_bytes(layout.analysis_maps(k), safetensors.numpy.save(maps))
    images = {
        "spectrum": _as_json(densities(mean.spectrum)),
        "fingerprint": {
            "denoiser": params.denoiser,
            "power": mark.power,
            "frequencies": _rounded(mark.frequencies),
            "radial": _rounded(mark.radial),
        },
        "colour": {
            "mean": _rounded(mean.colour),
            "spread": _rounded(standard_deviation(mean.colour, mean.colour_square)),
        },
    }
    write_json(layout.analysis(k), {"k": k} | images | traces)


def _mean_statistics(params: View, k: int, layout: Layout, workers: int) -> ImageStatistics:
    """Average the statistics of D_k's images in one pass."""
    rows, folder = read_manifest(layout, k), layout.images(k)
    denoiser = load_denoiser(params.denoiser, params.denoiser_weights)

    def compute(row: dict[str, Any]) -> ImageStatistics:
        return image_statistics(load_checked(folder, row), denoiser)

    try:
        with Progress(f"analyse {k}", len(rows)) as progress:
            return mean_statistics(rows, compute, workers, progress.advance)
    except ValueError as error:
        raise UserError(f"{folder}: {error}; make D_{k} again with 'dvc repro'") from error


def _traces(path: Path) -> dict[str, Any]:
    """Summarise what the sampler recorded."""
    return {
        "diff": _mean_per_column(read_array_in_parts(path, "diff_norm")),
        "sigmas": _rounded(read_array(path, "sigmas")),
        "scales": _rounded(read_array(path, "scales")),
        "latents": _as_json(distribution(read_array_in_parts(path, "latents"))),
    }


def _as_json(found: Densities | Distribution) -> dict[str, Any]:
    """Return the fields by name, arrays as rounded lists."""
    return {name: _rounded(value) if isinstance(value, np.ndarray) else value for name, value in vars(found).items()}


def _mean_per_column(chunks: Iterator[np.ndarray]) -> list[float]:
    """Average [N,T], given in chunks, over N -> [T]."""
    total, count = np.zeros(()), 0
    for chunk in chunks:
        total, count = total + chunk.astype(np.float64).sum(axis=0), count + len(chunk)
    return _rounded(total / max(count, 1))


def _rounded(values: np.ndarray) -> list[float]:
    """Round to nine significant digits: more would only be noise in the file."""
    return [float(f"{value:.9g}") for value in np.asarray(values, dtype=np.float64).ravel()]
