"""Analyse the images of D_k and the sampler's traces: write analysis/k.json and analysis/k.safetensors."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from pipeline.analyse.colour import spread
from pipeline.analyse.denoise import load_denoiser
from pipeline.analyse.fingerprint import Fingerprint, fingerprint
from pipeline.analyse.images import Observation, default_workers, mean_observation, observe
from pipeline.analyse.latents import distribution
from pipeline.analyse.spectrum import densities
from pipeline.chain.image_sets import load_checked, read_manifest
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes
from pipeline.core.json_files import write_json
from pipeline.core.progress import Progress

_ROWS = 64


def run(params: View, k: int, layout: Layout, workers: int | None = None) -> None:
    """Write the spectra (G.3), fingerprint (G.4) and colours of D_k; for k >= 1 also Diff per step (G.2) and latents (G.1).

    `workers` threads (default: one a core) look at the images; their number does not change the result.
    Raise UserError on a missing or damaged image or trace, images of several sizes, or a denoiser without its weights.
    """
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(_traces, layout.traces(k)) if k else None
        seen = _look(params, k, layout, workers or default_workers())
    traces = reading.result() if reading else {}
    mark = fingerprint(seen.residual)
    maps = {"residual_spectrum": mark.residual_spectrum, "autocorrelation": mark.autocorrelation}
    write_bytes(layout.analysis_maps(k), safetensors.numpy.save(maps))
    images = {
        "spectrum": _spectrum(seen),
        "fingerprint": _fingerprint(mark, params.denoiser),
        "colour": {
            "mean": _rounded(seen.colour),
            "spread": _rounded(spread(seen.colour, seen.colour_square)),
        },
    }
    write_json(layout.analysis(k), {"k": k} | images | traces)


def _look(params: View, k: int, layout: Layout, workers: int) -> Observation:
    """One pass over the images of D_k."""
    rows, folder = read_manifest(layout, k), layout.images(k)
    denoiser = load_denoiser(params.denoiser, params.denoiser_weights)

    def look(row: dict[str, Any]) -> Observation:
        return observe(load_checked(folder, row), denoiser)

    try:
        with Progress(f"analyse {k}", len(rows)) as progress:
            return mean_observation(rows, look, workers, progress.advance)
    except ValueError as error:
        raise UserError(f"{folder}: {error}; make D_{k} again with 'dvc repro'") from error


def _spectrum(seen: Observation) -> dict[str, Any]:
    found = densities(seen.spectrum)
    return {
        "frequencies": _rounded(found.frequencies),
        "radial": _rounded(found.radial),
        "angular": _rounded(found.angular),
    }


def _fingerprint(found: Fingerprint, denoiser: str) -> dict[str, Any]:
    return {
        "denoiser": denoiser,
        "power": found.power,
        "frequencies": _rounded(found.frequencies),
        "radial": _rounded(found.radial),
    }


def _traces(path: Path) -> dict[str, Any]:
    """What the sampler recorded, summed up."""
    latents = distribution(_chunks(path, "latents"))
    return {
        "diff": _mean_per_column(_chunks(path, "diff_norm")),
        "sigmas": _whole(path, "sigmas"),
        "scales": _whole(path, "scales"),
        "latents": {
            "centres": _rounded(latents.centres),
            "density": _rounded(latents.density),
            "mean": latents.mean,
            "variance": latents.variance,
            "kurtosis": latents.kurtosis,
            "gaussian": _rounded(latents.gaussian),
        },
    }


def _mean_per_column(chunks: Iterator[np.ndarray]) -> list[float]:
    """[N,T] in chunks -> the mean over N, [T]."""
    total, count = np.zeros(()), 0
    for chunk in chunks:
        total, count = total + chunk.astype(np.float64).sum(axis=0), count + len(chunk)
    return _rounded(total / max(count, 1))


def _chunks(path: Path, name: str) -> Iterator[np.ndarray]:
    """A tensor of a safetensors file, `_ROWS` rows at a time."""
    with _opened(path, name) as file:
        count = file.get_slice(name).get_shape()[0]
    for start in range(0, count, _ROWS):
        # Opened anew: the pages read so far stay mapped as long as the file is open.
        with _opened(path, name) as file:
            rows = file.get_slice(name)[start : min(start + _ROWS, count)]
        yield rows


def _whole(path: Path, name: str) -> list[float]:
    with _opened(path, name) as file:
        return _rounded(file.get_tensor(name))


def _opened(path: Path, name: str) -> Any:
    if not path.is_file():
        raise UserError(f"{path} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')")
    try:
        file = safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}); fetch or make it again") from error
    if name not in file.keys():  # noqa: SIM118  (not a mapping)
        raise UserError(f"{path} has no tensor {name!r}; sample again with 'dvc repro'")
    return file


def _rounded(values: np.ndarray) -> list[float]:
    """Nine significant digits: more would only be noise in the file."""
    return [float(f"{value:.9g}") for value in np.asarray(values, dtype=np.float64).ravel()]
