"""Read one file of a raw set as RGB, and make it a square: what can be read faithfully is, what is ambiguous is refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.core.images import IMAGE_ERRORS

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
"""Read by content, whatever the suffix says; Pillow's other readers (EPS, PSD, ...) are no business of a data set."""

_PLAIN_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
"""What Pillow turns into RGBA without loss; CMYK and the like go by way of RGB."""

_LARGEST_16_BIT = 65535


class BrokenImage(Exception):
    """Why a file is no image, as the end of a sentence that starts with its name."""


def open_image(path: Path) -> Image.Image:
    """Read an image as RGB. EXIF orientation is applied, transparency laid on white, 16-bit grey scaled, CMYK and palettes
    turned into RGB. Raises BrokenImage.
    """
    try:
        if path.stat().st_size == 0:
            raise BrokenImage("is empty (0 bytes)")
        with warnings.catch_warnings():
            # Of EXIF data that is damaged, for one, while the image is whole.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
                _refuse_animation(opened)
                return _on_white(ImageOps.exif_transpose(opened))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenImage(f"is too large to be opened safely (over {Image.MAX_IMAGE_PIXELS:,} pixels)") from error
    except IMAGE_ERRORS as error:
        raise BrokenImage("cannot be read as an image (truncated, or no PNG, JPEG, WebP or BMP)") from error


def _refuse_animation(image: Image.Image) -> None:
    """Raise BrokenImage for several frames. A camera's MPO is one image: its first, with previews behind it."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise BrokenImage(f"is an animation of {frames} frames; save the frame that you mean as an image")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    layer = (image if image.mode in _PLAIN_MODES else image.convert("RGB")).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Turn 16-bit grey into 8-bit grey. Pillow's own conversion would clip all but the darkest values to white."""
    values = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.rint(np.clip(values, 0, _LARGEST_16_BIT) * (255.0 / _LARGEST_16_BIT)).astype(np.uint8))


def square(image: Image.Image, size: int, fit: str) -> Image.Image:
    """Make RGB size x size: `crop` its centre, `pad` with white, or `squash` both sides. Small images are enlarged."""
    if fit == "squash":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    if fit == "pad":
        return ImageOps.pad(image, (size, size), Image.Resampling.LANCZOS, color="white")
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
