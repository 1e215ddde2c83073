"""Convert an image's numbers to sRGB with LittleCMS."""

from __future__ import annotations

import io
import struct
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from pipeline.inputs.datasets.color.spaces import ColorSpace, UnknownColors, icc_profile

INTENT = ImageCms.Intent.PERCEPTUAL
_SAME_LEVELS = 2
"""A profile that moves no colour by more is sRGB, as one of its many makers wrote it down."""

_DAMAGED = "has a colour profile that cannot be read; save it as sRGB"
_SPACES = {"RGB ": "RGB", "GRAY": "grey", "CMYK": "CMYK"}
_GREY = ("L", "I;16")


def to_srgb(image: Image.Image, colors: bytes | ColorSpace | None) -> Image.Image:
    """Return an image of mode L, I;16, RGB or CMYK as RGB in sRGB; its numbers stay where `colors` are sRGB or None.

    Raise UnknownColors for a profile that is damaged, or of another kind of image.
    """
    if colors is None:
        return _unconverted(image)
    grey = image.mode in _GREY
    profile = icc_profile(colors, grey) if isinstance(colors, ColorSpace) else colors
    space = profile_space(profile)
    if grey and space == "RGB":
        # Grey with a profile of colours is common: its three values are the same.
        image = _unconverted(image)
    if {"L": "grey", "I;16": "grey"}.get(image.mode, image.mode) != space:
        raise UnknownColors(f"has a colour profile for {space} images, but is {image.mode}; save it as sRGB")
    transform = _transform(profile, image.mode)
    return _unconverted(image) if transform is None else _applied(image, transform)


def _unconverted(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":
        # Pillow's own conversion would clip all but the darkest values to white.
        image = Image.fromarray(np.rint(np.asarray(image).astype(np.float64) * (255 / 65535)).astype(np.uint8))
    return image.convert("RGB")


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    """Apply a transform; grey by way of a table of all its values."""
    try:
        if image.mode not in _GREY:
            return transform.apply(image)
        values = np.asarray(image)
        every = np.arange(np.iinfo(values.dtype).max + 1, dtype=values.dtype)[None]
        return Image.fromarray(np.asarray(transform.apply(Image.fromarray(every)))[0][values])
    except (ImageCms.PyCMSError, ValueError) as error:
        raise UnknownColors(_DAMAGED) from error


@lru_cache(maxsize=64)
def profile_space(profile: bytes) -> str:
    """Return the kind of images that a profile is for: RGB, grey or CMYK.

    Raise UnknownColors when it is for none, damaged, or of HDR.
    """
    try:
        header = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnknownColors(_DAMAGED) from error
    if header.xcolor_space not in _SPACES or header.device_class in ("link", "abst", "nmcl"):
        raise UnknownColors("has a colour profile that is not one of an image; save it as sRGB")
    if _transfer(profile) in (16, 18):
        raise UnknownColors("is an HDR image (its profile says PQ or HLG), which sRGB cannot show; save it as sRGB")
    return _SPACES[header.xcolor_space]


def _transfer(profile: bytes) -> int | None:
    """Return the transfer function of a profile's cicp tag, which LittleCMS does not look at."""
    (count,) = struct.unpack_from(">I", profile, 128)
    for place in range(132, min(132 + 12 * count, len(profile) - 11), 12):
        name, start, length = struct.unpack_from(">4sII", profile, place)
        if name == b"cicp" and length >= 12 and start + 12 <= len(profile):
            return profile[start + 9]
    return None


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the way from a profile to sRGB; None when it leads to where it starts."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        if mode != "CMYK":
            # By its colours alone: sRGB's profile of 2007 has a perceptual rendering of its own as well.
            exact = ImageCms.buildTransform(source, target, "L" if mode in _GREY else mode, "RGB",
                                            ImageCms.Intent.RELATIVE_COLORIMETRIC)  # fmt: skip
            if _changes_nothing(exact, "L" if mode in _GREY else mode):
                return None
        # LittleCMS's shortcut for grey is off by up to ten levels in the shadows.
        flags = ImageCms.Flags.NOOPTIMIZE if mode in _GREY else ImageCms.Flags.NONE
        return ImageCms.buildTransform(source, target, mode, "RGB", INTENT, flags)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnknownColors(_DAMAGED) from error


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Tell whether no colour of a grid, or of all greys, is moved."""
    steps = np.arange(0, 256, dtype=np.uint8)
    grid = np.stack(np.meshgrid(*[steps[::15]] * 3), -1).reshape(1, -1, 3)
    colors = np.concatenate([grid, np.repeat(steps[None, :, None], 3, axis=2)], axis=1)
    probe = Image.fromarray(colors if mode == "RGB" else steps[None])
    moved = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    return int(np.abs(moved).max()) <= _SAME_LEVELS
