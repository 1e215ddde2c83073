"""Images inside a page, as data URIs."""

from __future__ import annotations

import base64
import io

from PIL import Image

SMALL_SIDE = 96
"""Up to this many pixels a side an image goes into a page as it is stored."""
THUMBNAIL_SIDE = 192


def png_uri(image: Image.Image) -> str:
    """Encode an image of few colours without loss."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return data_uri("png", buffer.getvalue())


def thumbnail(image: Image.Image, stored: bytes) -> str:
    """Return an image whose PNG file is `stored`: the file itself when it is small, else a JPEG of at most THUMBNAIL_SIDE."""
    return data_uri("png", stored) if max(image.size) <= SMALL_SIDE else jpeg_uri(image, THUMBNAIL_SIDE, 82)


def jpeg_uri(image: Image.Image, side: int, quality: int) -> str:
    """Encode an image, shrunk to at most `side` pixels a side."""
    shrunk = image.copy()
    shrunk.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shrunk.save(buffer, "JPEG", quality=quality, optimize=True)
    return data_uri("jpeg", buffer.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Return the bytes of a "png" or "jpeg" file as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
