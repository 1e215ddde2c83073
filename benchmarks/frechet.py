"""How much faster our Frechet distance is than the usual one with scipy.linalg.sqrtm, and how close their values are."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import scipy.linalg

from pipeline.methods.measures.frechet import frechet_distance

IMAGES, WIDTH, REPEATS = 1000, 1024, 3


def by_matrix_root(generated: np.ndarray, real: np.ndarray) -> float:
    """The textbook formula: both covariances, and the root of their product."""
    difference = generated.mean(axis=0) - real.mean(axis=0)
    covariances = np.cov(generated, rowvar=False), np.cov(real, rowvar=False)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    return float(difference @ difference + np.trace(covariances[0] + covariances[1] - 2.0 * np.real(root)))


def best_of(function: Callable[[np.ndarray, np.ndarray], float], a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(value, fewest seconds of `REPEATS` runs)."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        value = function(a, b)
        seconds.append(time.perf_counter() - started)
    return value, min(seconds)


def main() -> None:
    rng = np.random.default_rng(0)
    scales = np.linspace(0.2, 2.0, WIDTH)
    generated = rng.normal(0.1, 1.0, (IMAGES, WIDTH)) * scales[::-1]
    real = rng.normal(0.0, 1.0, (IMAGES, WIDTH)) * scales
    theirs, their_seconds = best_of(by_matrix_root, generated, real)
    ours, our_seconds = best_of(frechet_distance, generated, real)
    print(f"Frechet distance, {IMAGES} x {WIDTH} features, best of {REPEATS}:")
    print(f"  scipy.linalg.sqrtm  {their_seconds:7.3f} s   value {theirs:.9f}")
    print(f"  nuclear norm        {our_seconds:7.3f} s   value {ours:.9f}")
    print(f"  ratio {their_seconds / our_seconds:.1f}x, relative difference {abs(ours - theirs) / theirs:.1e}")


if __name__ == "__main__":
    main()
