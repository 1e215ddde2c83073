"""Analyse D_k and the sampler's traces: write analysis/k.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from pipeline.analyse.latents import distribution
from pipeline.analyse.spectrum import Densities, densities
from pipeline.errors import UserError
from pipeline.measure.images import load_checked, read_manifest
from pipeline.measure.power import high_frequency_power
from pipeline.params import View
from pipeline.paths import Layout
from pipeline.storage import write_json

_ROWS = 64


def run(params: View, k: int, layout: Layout) -> None:
    """Write analysis/k.json of iteration k >= 1: Diff per step (G.2), latents (G.1), spectra of D_k and D_0 (G.3), S.

    Raises UserError on a missing or damaged image or trace.
    """
    traces = layout.traces(k)
    latents = distribution(_chunks(traces, "latents"))
    write_json(
        layout.analysis(k),
        {
            "k": k,
            "diff": _mean_per_column(_chunks(traces, "diff_norm")),
            "sigmas": _whole(traces, "sigmas"),
            "scales": _whole(traces, "scales"),
            "latents": {
                "centres": _rounded(latents.centres),
                "density": _rounded(latents.density),
                "variance": latents.variance,
                "kurtosis": latents.kurtosis,
            },
            "spectrum": _images(layout, k, params.frequency_cutoff),
            "spectrum_real": _images(layout, 0, params.frequency_cutoff),
        },
    )


def _images(layout: Layout, k: int, cutoff: float) -> dict[str, Any]:
    """Spectra and mean S of D_k, reading each image once."""
    powers: list[float] = []

    def each() -> Iterator[np.ndarray]:
        for row in read_manifest(layout, k):
            image = load_checked(layout.images(k) / row["file"], row["sha256"])
            powers.append(high_frequency_power(image, cutoff))
            yield image

    try:
        found: Densities = densities(each())
    except ValueError as error:
        raise UserError(f"{layout.images(k)}: {error}; make D_{k} again with 'dvc repro'") from error
    return {
        "frequencies": _rounded(found.frequencies),
        "radial": _rounded(found.radial),
        "angular": _rounded(found.angular),
        "power": float(np.mean(powers)),
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
        rows = file.get_slice(name)
        count = rows.get_shape()[0]
        for start in range(0, count, _ROWS):
            yield rows[start : min(start + _ROWS, count)]


def _whole(path: Path, name: str) -> list[float]:
    with _opened(path, name) as file:
        return _rounded(file.get_tensor(name))


def _opened(path: Path, name: str) -> Any:
    if not path.is_file():
        raise UserError(f"{path} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')")
    try:
        file = safe_open(path, framework="np")
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}); fetch or make it again") from error
    if name not in file.keys():  # noqa: SIM118  (not a mapping)
        raise UserError(f"{path} has no tensor {name!r}; sample again with 'dvc repro'")
    return file


def _rounded(values: np.ndarray) -> list[float]:
    """Nine significant digits: more would only be noise in the file."""
    return [float(f"{value:.9g}") for value in np.asarray(values, dtype=np.float64).ravel()]
