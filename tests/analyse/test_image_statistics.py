import time

import numpy as np
import pytest
from analyse.sample_images import noise

from pipeline.analyse.denoise import wavelet
from pipeline.analyse.image_statistics import ImageStatistics, image_statistics, mean_statistics


def look(seed: int) -> ImageStatistics:
    return image_statistics(noise(seed, 32, 32), lambda image: image * np.float32(0.9))


def test_every_part_is_the_mean_over_the_images() -> None:
    found = mean_statistics(range(70), look, workers=2)
    for name in ImageStatistics._fields:
        expected = np.mean([getattr(look(seed), name).astype(np.float64) for seed in range(70)], axis=0)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-9, err_msg=name)


def test_threads_that_finish_out_of_order_change_no_bit() -> None:
    def slow_first(seed: int) -> ImageStatistics:
        time.sleep(0.002 * (seed % 4 == 0))
        return look(seed)

    alone, together = (mean_statistics(range(40), slow_first, workers) for workers in (1, 4))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_progress_counts_every_image() -> None:
    seen: list[int] = []
    mean_statistics(range(70), look, 2, seen.append)
    assert sum(seen) == 70


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        mean_statistics([], look, 1)


def test_images_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size, got sides 32 and 48"):
        mean_statistics([32, 48], lambda side: image_statistics(noise(0, side, side), wavelet), 1)
