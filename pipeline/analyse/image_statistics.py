"""Statistics of a set's images in one pass: each is read once, several at a time, and the means are kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.analyse.denoise import Denoiser
from pipeline.analyse.fingerprint import residual_power
from pipeline.analyse.spectrum import standard_spectrum

_AT_ONCE = 64

Item = TypeVar("Item")


class ImageStatistics(NamedTuple):
    """What an image shows, or the mean of that over images: power of the standardised image [S, S/2 + 1] and of the
    residual [R, R/2 + 1], and the mean of R, G, B and of their squares, each [3]."""

    spectrum: np.ndarray
    residual: np.ndarray
    colour: np.ndarray
    colour_square: np.ndarray


def image_statistics(image: np.ndarray, denoiser: Denoiser) -> ImageStatistics:
    """Return the statistics of [H,W,3] uint8."""
    return ImageStatistics(standard_spectrum(image), residual_power(image, denoiser), *colour_moments(image))


def mean_statistics(
    items: Sequence[Item],
    compute: Callable[[Item], ImageStatistics],
    workers: int,
    seen: Callable[[int], None] = lambda count: None,
) -> ImageStatistics:
    """Average `compute` over items, in float64 and in their order, so that the number of threads changes no bit.

    Memory is bounded: the statistics of at most 64 images are held. `seen` is called for each item that is done.
    Raise ValueError when there are no items, or when their statistics differ in size.
    """
    totals: list[np.ndarray] | None = None
    with _libraries_on_one_thread(), ThreadPoolExecutor(workers) as pool:
        for statistics in _in_order(pool, compute, items):
            totals = _added(totals, statistics)
            seen(1)
    if totals is None:
        raise ValueError("an analysis needs at least one image")
    return ImageStatistics(*(total / len(items) for total in totals))


def _in_order(pool: Executor, compute: Callable[[Item], ImageStatistics], items: Iterable[Item]) -> Iterator[ImageStatistics]:
    """Compute each item, some ahead of the one that is asked for; cancel the rest when one fails."""
    ahead: deque[Future[ImageStatistics]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(compute, item))
            if len(ahead) == _AT_ONCE:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


@contextmanager
def _libraries_on_one_thread() -> Iterator[None]:
    """Keep libraries from starting threads of their own, which for such small work only get in the way of ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        cv2.setNumThreads(before)


def _added(totals: list[np.ndarray] | None, statistics: ImageStatistics) -> list[np.ndarray]:
    if totals is None:
        return [value.astype(np.float64) for value in statistics]
    if totals[0].shape != statistics.spectrum.shape or totals[1].shape != statistics.residual.shape:
        raise ValueError(f"images must share one size, got sides {len(totals[0])} and {len(statistics.spectrum)}")
    for total, value in zip(totals, statistics, strict=True):
        total += value
    return totals


def colour_moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of [H,W,3] uint8 (mean of R, G, B, mean of their squares), each [3] float64, pixels in 0..1."""
    mean, deviation = (values.ravel() / 255 for values in cv2.meanStdDev(image))
    return mean, np.square(deviation) + np.square(mean)


def standard_deviation(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return the standard deviation [3] of a set's pixels from their moments, each [3]."""
    return np.sqrt(np.maximum(square - np.square(mean), 0.0))
