"""One picture of the raw set as pixels: what can be read faithfully is converted, what is ambiguous is refused by name."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.errors import printable
from pipeline.guards import image_errors

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
"""Read by content, whatever the suffix says; Pillow's other readers (EPS, PSD, ...) are no business of a data set."""

_PLAIN_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
"""What Pillow turns into RGBA without loss; CMYK and the like go by way of RGB."""

_LARGEST_16_BIT = 65535


class BadFile(Exception):
    """What is wrong with one file."""


def read_pixels(path: Path, resolution: int) -> np.ndarray:
    """A picture, scaled to cover `resolution` and cropped at the centre -> [R,R,3] uint8. Raises BadFile.

    EXIF orientation is applied, transparency laid on white, 16-bit grey scaled, CMYK and palettes turned into RGB.
    """
    name = printable(path.name)
    if path.stat().st_size == 0:
        raise BadFile(f"{name} is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as opened:
                _refuse_animation(name, opened)
                image = _rgba(ImageOps.exif_transpose(opened))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadFile(f"{name} is too large to be opened safely (over {Image.MAX_IMAGE_PIXELS:,} pixels)") from error
    except image_errors() as error:
        raise BadFile(f"{name} cannot be read as an image (truncated, or no PNG, JPEG, WebP or BMP)") from error
    if min(image.size) < resolution:
        raise BadFile(f"{name} is {image.width}x{image.height}, smaller than the resolution {resolution}x{resolution}")
    flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return np.asarray(ImageOps.fit(flat, (resolution, resolution), Image.Resampling.LANCZOS))


def _refuse_animation(name: str, image: Image.Image) -> None:
    """Raise BadFile for several frames. A camera's MPO is one picture: its first, with previews behind it."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise BadFile(f"{name} is an animation of {frames} frames; save the frame that you mean as a picture")


def _rgba(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    return (image if image.mode in _PLAIN_MODES else image.convert("RGB")).convert("RGBA")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey. Pillow's own conversion would clip all but the darkest values to white."""
    values = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.rint(np.clip(values, 0, _LARGEST_16_BIT) * (255.0 / _LARGEST_16_BIT)).astype(np.uint8))
