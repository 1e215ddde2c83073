"""One pass over the images of a set: each is looked at once, several at a time, and the means are kept."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.analyse.colour import colour_moments
from pipeline.analyse.denoise import Denoiser
from pipeline.analyse.fingerprint import residual_power
from pipeline.analyse.spectrum import standard_spectrum

_AT_ONCE = 64

Item = TypeVar("Item")


class Observation(NamedTuple):
    """What an image shows, or the mean of that over images: power of the standardised image [S, S/2 + 1] and of the
    residual [R, R/2 + 1], and the mean of R, G, B and of their squares, each [3]."""

    spectrum: np.ndarray
    residual: np.ndarray
    colour: np.ndarray
    colour_square: np.ndarray


def observe(image: np.ndarray, denoiser: Denoiser) -> Observation:
    """[H,W,3] uint8 -> its observation."""
    return Observation(standard_spectrum(image), residual_power(image, denoiser), *colour_moments(image))


def mean_observation(
    items: Sequence[Item], look: Callable[[Item], Observation], workers: int, seen: Callable[[int], None] = lambda count: None
) -> Observation:
    """The mean of `look` over items, in float64 and in their order, so that the number of threads changes no bit.

    Memory is bounded: at most 64 observations are held. `seen` is told of each item that is done.
    Raise ValueError when there are no items, or when their observations differ in size.
    """
    totals: list[np.ndarray] | None = None
    with _libraries_on_one_thread(), ThreadPoolExecutor(workers) as pool:
        for observation in _in_order(pool, look, items):
            totals = _added(totals, observation)
            seen(1)
    if totals is None:
        raise ValueError("an analysis needs at least one image")
    return Observation(*(total / len(items) for total in totals))


def _in_order(pool: Executor, look: Callable[[Item], Observation], items: Iterable[Item]) -> Iterator[Observation]:
    """`look` at each item, some ahead of the one that is asked for; the rest is given up when one fails."""
    ahead: deque[Future[Observation]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(look, item))
            if len(ahead) == _AT_ONCE:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


@contextmanager
def _libraries_on_one_thread() -> Iterator[None]:
    """The threads are ours: libraries that start their own for such small work only get in their way."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        cv2.setNumThreads(before)


def default_workers() -> int:
    """As many threads as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _added(totals: list[np.ndarray] | None, observation: Observation) -> list[np.ndarray]:
    if totals is None:
        return [value.astype(np.float64) for value in observation]
    if totals[0].shape != observation.spectrum.shape or totals[1].shape != observation.residual.shape:
        raise ValueError(f"images must share one size, got sides {len(totals[0])} and {len(observation.spectrum)}")
    for total, value in zip(totals, observation, strict=True):
        total += value
    return totals
