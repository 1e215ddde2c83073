"""Read the colour space in a BMP's header (Windows' BITMAPV4HEADER and BITMAPV5HEADER)."""

from __future__ import annotations

import struct

from pipeline.inputs.datasets.color.spaces import ColorSpace, Curve, Primaries, UnknownColors

_HEADER, _KIND, _ENDPOINTS, _GAMMAS, _PROFILE = 14, 56, 60, 96, 112
"""Offsets: of the information header in the file, and in it of what is read here."""

_V4, _V5 = 108, 124


def read_bmp(content: bytes) -> bytes | ColorSpace | None:
    """Return the embedded profile or calibrated space; None for sRGB, and where the header says nothing.

    Raise UnknownColors for a profile that lies in another file, or outside of this one.
    """
    if len(content) < _HEADER + _V4:
        return None
    (size,) = struct.unpack_from("<I", content, _HEADER)
    if size < _V4:
        return None
    kind = content[_HEADER + _KIND : _HEADER + _KIND + 4][::-1]
    if kind == b"LINK" and size >= _V5:
        raise UnknownColors("names a colour profile in another file; save it as sRGB")
    if kind == b"MBED" and size >= _V5:
        return _embedded(content)
    return _calibrated(content) if kind == bytes(4) else None


def _embedded(content: bytes) -> bytes:
    start, length = struct.unpack_from("<II", content, _HEADER + _PROFILE)
    profile = content[_HEADER + start : _HEADER + start + length]
    if not length or len(profile) < length:
        raise UnknownColors("has a damaged colour profile (it ends beyond the file); save it as sRGB")
    return profile


def _calibrated(content: bytes) -> ColorSpace | None:
    """Return the space of the header's endpoints (XYZ) and gammas; None where a program left them 0, as many do."""
    numbers = _endpoints(content)
    gammas = struct.unpack_from("<3I", content, _HEADER + _GAMMAS)
    if not all(gammas) or not all(sum(point) > 0 for point in numbers):
        return None
    if len(set(gammas)) > 1:
        raise UnknownColors("has a gamma of its own for each colour; save it as sRGB")
    white = tuple(sum(point[i] for point in numbers) for i in range(3))
    xy = [coordinate for point in (white, *numbers) for coordinate in (point[0] / sum(point), point[1] / sum(point))]
    return ColorSpace(Primaries(tuple(xy)), Curve(gammas[0] / 2**16))  # type: ignore[arg-type]


def _endpoints(content: bytes) -> list[tuple[float, ...]]:
    """Return XYZ of red, green and blue, which stand there as numbers of 2 and 30 bits."""
    numbers = [value / 2**30 for value in struct.unpack_from("<9i", content, _HEADER + _ENDPOINTS)]
    return [tuple(numbers[i : i + 3]) for i in (0, 3, 6)]
