"""Read one file of a raw set as RGB, and make it a square: what can be read faithfully is, what is ambiguous is refused."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.core.images import IMAGE_ERRORS
from pipeline.inputs.datasets.color.png_chunks import SIGNATURE, read_png
from pipeline.inputs.datasets.color.said import said_colors
from pipeline.inputs.datasets.color.spaces import UnknownColors
from pipeline.inputs.datasets.color.to_srgb import to_srgb

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp"})
"""In lower case; .jpe and .jfif are other names of JPEG."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
"""Read by content, whatever the suffix says; Pillow's other readers (EPS, PSD, ...) are no business of a data set."""

_LARGEST_FILE = 2**31
"""Bytes; an image of as many pixels as are opened has fewer in any of the formats."""


class BrokenImage(Exception):
    """Why a file is no image, as the end of a sentence that starts with its name."""


def open_image(path: Path) -> Image.Image:
    """Read an image as RGB in sRGB: the one way in which people's images are opened.

    EXIF orientation is applied, colours are converted by the profile or colour space that the file names, transparency is
    laid on white, 16-bit grey scaled, CMYK and palettes turned into RGB. Raises BrokenImage.
    """
    content = _read(path)
    try:
        with warnings.catch_warnings():
            # Of EXIF data that is damaged, for one, while the image is whole.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            png = read_png(content) if content.startswith(SIGNATURE) else None
            with Image.open(io.BytesIO(png.content if png else content), formats=FORMATS) as opened:
                _refuse_animation(opened)
                turned = ImageOps.exif_transpose(opened)
                image, alpha = _split(turned, png.depth if png else 8)
                return _on_white(to_srgb(image, said_colors(opened, content, png)), alpha)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenImage(f"is too large to be opened safely (over {Image.MAX_IMAGE_PIXELS:,} pixels)") from error
    except UnknownColors as error:
        raise BrokenImage(str(error)) from error
    except IMAGE_ERRORS as error:
        raise BrokenImage("cannot be read as an image (truncated, or no PNG, JPEG, WebP or BMP)") from error


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size == 0:
            raise BrokenImage("is empty (0 bytes)")
        if size > _LARGEST_FILE:
            raise BrokenImage(f"is too large to be opened safely (over {_LARGEST_FILE:,} bytes)")
        return path.read_bytes()
    except OSError as error:
        raise BrokenImage(f"cannot be read: {error.strerror}") from error


def _refuse_animation(image: Image.Image) -> None:
    """Raise BrokenImage for several frames. A camera's MPO is one image: its first, with previews behind it."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise BrokenImage(f"is an animation of {frames} frames; save the frame that you mean as an image")


def _split(image: Image.Image, depth: int) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours as L, I;16, RGB or CMYK, and the alpha channel, None where there is none."""
    key = image.info.get("transparency")
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image), 0, 65535).astype("<u2")
        alpha = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)) if isinstance(key, int) else None
        return Image.fromarray(values), alpha
    if image.mode == "CMYK":
        return image, None
    plain = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if not image.has_transparency_data:
        return image.convert(plain), None
    # A PNG's clear colour is in its own bits a sample; Pillow has scaled the pixels to 8, but not the colour.
    if image.mode == "L" and isinstance(key, int) and depth < 8:
        image.info["transparency"] = key * 255 // (2**depth - 1)
    elif image.mode == "RGB" and isinstance(key, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    layer = image.convert("RGBA")
    return layer.convert("RGB").convert(plain), layer.getchannel("A")


def _on_white(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    if alpha is None:
        return image
    image.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def square(image: Image.Image, size: int, fit: str) -> Image.Image:
    """Make RGB size x size: `crop` its centre, `pad` with white, or `squash` both sides. Small images are enlarged."""
    if fit == "squash":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    if fit == "pad":
        return ImageOps.pad(image, (size, size), Image.Resampling.LANCZOS, color="white")
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
