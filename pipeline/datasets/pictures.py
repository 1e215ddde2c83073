"""One file of a raw set -> an RGB picture, and a square of it."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps

from pipeline.guards import image_errors

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_SIXTEEN_TO_EIGHT = 1 / 257


class BrokenPicture(Exception):
    """Why a file is no picture, as the end of a sentence that starts with its name."""


def open_picture(path: Path) -> Image.Image:
    """A picture as RGB: EXIF orientation applied, transparency on white, 16-bit grey scaled. Raises BrokenPicture."""
    try:
        if path.stat().st_size == 0:
            raise BrokenPicture("is empty (0 bytes)")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as opened:
                return _on_white(ImageOps.exif_transpose(opened))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenPicture("is too large to be opened safely") from error
    except image_errors() as error:
        raise BrokenPicture("cannot be read as an image (truncated, or no PNG, JPEG, WebP or BMP)") from error


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * _SIXTEEN_TO_EIGHT).convert("L")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        image = image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def square(image: Image.Image, size: int, fit: str) -> Image.Image:
    """RGB -> size x size RGB: `crop` its centre, `pad` with white, or `squash` both sides. Small pictures are enlarged."""
    if fit == "squash":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    if fit == "pad":
        return ImageOps.pad(image, (size, size), Image.Resampling.LANCZOS, color="white")
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
