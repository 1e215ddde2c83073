"""Seconds and peak memory of the selection rules on a pool of 10,000 x 1024 features, 5,000 of them kept."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from pipeline.methods.selection import greedy, starting_threshold, threshold_decay

POOL, WIDTH, KEPT = 10_000, 1024, 5_000
DECAY = 0.95


def spread(rng: np.random.Generator) -> np.ndarray:
    """Features with the long-tailed spectrum of real ones and an offset, [POOL,WIDTH] float32."""
    scales = 1.0 / np.sqrt(1.0 + np.arange(WIDTH) / 20.0)
    return (1.0 + scales * rng.standard_normal((POOL, WIDTH))).astype(np.float32)


def collapsed(rng: np.random.Generator) -> np.ndarray:
    """A pool that has collapsed: 50 images, each with many faint variations and many exact copies."""
    features = spread(rng)[rng.integers(50, size=POOL)]
    features[::2] += 0.01 * rng.standard_normal((POOL // 2, WIDTH), dtype=np.float32)
    return features


def peak_mebibytes() -> float:
    """The most memory this process has held so far (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def report(name: str, work: Callable[[], object]) -> None:
    started = time.perf_counter()
    work()
    print(f"  {name:<28} {time.perf_counter() - started:7.2f} s   peak {peak_mebibytes():6.0f} MiB", flush=True)


def main() -> None:
    rng = np.random.default_rng(0)
    for make in (spread, collapsed):
        features = make(rng)
        tau = starting_threshold(features, 0.5)
        print(f"{make.__name__}: {KEPT:,} of {POOL:,} x {WIDTH}, tau_0 = {tau:.3f}")
        report("greedy", partial(greedy, features, KEPT, rng))
        report("threshold_decay", partial(threshold_decay, features, KEPT, tau, DECAY, rng))
        report("starting_threshold", partial(starting_threshold, features, 0.5))


if __name__ == "__main__":
    main()
