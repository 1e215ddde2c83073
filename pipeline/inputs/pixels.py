"""One picture of the raw set as the square of pixels that D_0 has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.core.errors import printable
from pipeline.inputs.datasets.pictures import BrokenPicture, open_picture, square


class BadFile(Exception):
    """What is wrong with one file: its name and the reason."""


def read_pixels(path: Path, resolution: int, fit: str = "crop") -> np.ndarray:
    """A picture as a square by `fit` (crop, pad or squash) -> [R,R,3] uint8. Raises BadFile.

    Nothing is enlarged: the shorter side, for `pad` the longer one, must have `resolution` pixels.
    """
    name = printable(path.name)
    try:
        image = open_picture(path)
    except BrokenPicture as reason:
        raise BadFile(f"{name} {reason}") from reason
    if (max if fit == "pad" else min)(image.size) < resolution:
        raise BadFile(f"{name} is {image.width}x{image.height}, smaller than the resolution {resolution}x{resolution}")
    return np.asarray(square(image, resolution, fit))
