"""Find what an opened file says of its colours, in the order in which its format's standard believes it."""

from __future__ import annotations

import struct

from PIL import ExifTags, Image

from pipeline.core.images import IMAGE_ERRORS
from pipeline.inputs.datasets.color import spaces
from pipeline.inputs.datasets.color.bmp_header import read_bmp
from pipeline.inputs.datasets.color.png_chunks import Png
from pipeline.inputs.datasets.color.spaces import ColorSpace, Curve, Primaries, UnknownColors

_PRIMARIES = {1: spaces.SRGB_PRIMARIES, 4: spaces.BT_470M, 5: spaces.BT_601_625, 6: spaces.BT_601_525,
              7: spaces.BT_601_525, 9: spaces.BT_2020, 11: spaces.P3_DCI, 12: spaces.P3_D65}  # fmt: skip
"""ITU-T H.273, table 2."""

_CURVES = {1: spaces.BT_709_CURVE, 4: Curve(2.2), 5: Curve(2.8), 6: spaces.BT_709_CURVE, 8: Curve(1.0),
           13: spaces.SRGB_CURVE, 14: spaces.BT_709_CURVE, 15: spaces.BT_709_CURVE}  # fmt: skip
"""ITU-T H.273, table 3."""

_HDR = {16: "PQ", 18: "HLG"}
_UNSPECIFIED = 2
_SRGB_GAMMA, _SAME_GAMMA = 0.45455, 0.05
"""What PNGs of sRGB say in gAMA, and how far off still counts as that (libpng's own threshold)."""


def said_colors(image: Image.Image, content: bytes, png: Png | None) -> bytes | ColorSpace | None:
    """Return the ICC profile or the colour space of an opened image; None where it says sRGB, or nothing at all.

    Raise UnknownColors for what is damaged, and for what has no counterpart in sRGB.
    """
    if png is not None:
        decided, found = _in_png(png)
        if decided:
            return found
    elif image.format == "BMP":
        return read_bmp(content)
    elif "icc_profile" in image.info:
        profile: bytes | None = image.info["icc_profile"]
        if not profile:
            raise UnknownColors("has a damaged colour profile (parts of it are missing); save it as sRGB")
        return profile
    return _in_exif(image)


def _in_png(png: Png) -> tuple[bool, bytes | ColorSpace | None]:
    """Return whether the PNG's chunks say it, and what (PNG, third edition, 4.3: cICP, iCCP, sRGB, then gAMA and cHRM)."""
    png.require_whole()
    if b"cICP" in png.said and (space := _coded(png.said[b"cICP"])):
        return True, space
    if (profile := png.profile()) is not None:
        return True, profile
    if b"sRGB" in png.said:
        return True, None
    if b"gAMA" in png.said or b"cHRM" in png.said:
        return True, _calibrated(png.said.get(b"gAMA"), png.said.get(b"cHRM"))
    return False, None


def _coded(chunk: bytes) -> ColorSpace | None:
    """Return the space that code points name; None for "unspecified"."""
    if len(chunk) != 4:
        raise UnknownColors("has a damaged cICP chunk; save it as sRGB")
    primaries, transfer, matrix, full_range = chunk
    if transfer in _HDR:
        raise UnknownColors(f"is an HDR image ({_HDR[transfer]}), which sRGB cannot show; save the rendering you mean as sRGB")
    if matrix != 0 or full_range != 1:
        raise UnknownColors("is stored as video levels or YCbCr (its cICP chunk); save it as sRGB")
    if _UNSPECIFIED in (primaries, transfer):
        return None
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        raise UnknownColors(f"is in a colour space that is not known here (cICP {primaries}, {transfer}); save it as sRGB")
    return ColorSpace(_PRIMARIES[primaries], _CURVES[transfer])


def _calibrated(gamma_chunk: bytes | None, points_chunk: bytes | None) -> ColorSpace:
    if (gamma_chunk is not None and len(gamma_chunk) != 4) or (points_chunk is not None and len(points_chunk) != 32):
        raise UnknownColors("has a damaged gAMA or cHRM chunk; save it as sRGB")
    primaries, curve = spaces.SRGB_PRIMARIES, spaces.SRGB_CURVE
    if points_chunk is not None:
        points = struct.unpack(">8i", points_chunk)
        primaries = Primaries(tuple(value / 100_000 for value in points))  # type: ignore[arg-type]
    if gamma_chunk is not None:
        gamma = struct.unpack(">I", gamma_chunk)[0] / 100_000
        if not gamma:
            raise UnknownColors("has a gAMA chunk of 0; save it as sRGB")
        if abs(gamma / _SRGB_GAMMA - 1) > _SAME_GAMMA or not _about_srgb(primaries):
            curve = Curve(1 / gamma)
    return ColorSpace(primaries, curve)


def _about_srgb(primaries: Primaries) -> bool:
    """Tell whether these are sRGB's; programs round them to two to five digits."""
    return all(abs(a - b) < 0.005 for a, b in zip(primaries.xy, spaces.SRGB_PRIMARIES.xy, strict=True))


def _in_exif(image: Image.Image) -> ColorSpace | None:
    """Return Adobe RGB where a camera says so without a profile: by DCF's R03 (Exif 2.32, 4.6.6), or by a 2 for the space."""
    try:
        exif = image.getexif()
        adobe = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace) == 2
        index = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    except IMAGE_ERRORS:
        # Damaged EXIF data of a whole image say nothing.
        return None
    return spaces.ADOBE_RGB if adobe or str(index).rstrip("\0 ") == "R03" else None
