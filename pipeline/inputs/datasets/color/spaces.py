"""Colour spaces of a closed form, by primaries and curve, and an ICC profile of each, so that one engine converts all."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
"""XYZ of the white to which every ICC profile adapts its colours."""

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_LARGEST_GAMMA = 10.0


class UnknownColors(Exception):
    """Why an image's numbers cannot be taken as colours, as the end of a sentence that starts with its file's name."""


@dataclass(frozen=True)
class Primaries:
    """CIE 1931 x, y of the white, red, green and blue, in this order (PNG's cHRM has the same)."""

    xy: tuple[float, float, float, float, float, float, float, float]


@dataclass(frozen=True)
class Curve:
    """Linear light of a value v in 0..1: (a v + b)^gamma from v = d on, c v below (ICC's parametric curve of type 3)."""

    gamma: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0


@dataclass(frozen=True)
class ColorSpace:
    """What red, green and blue are, and how numbers rise with light."""

    primaries: Primaries
    curve: Curve


_D65 = (0.3127, 0.3290)
SRGB_PRIMARIES = Primaries((*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06))
ADOBE_PRIMARIES = Primaries((*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06))
P3_D65 = Primaries((*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060))
P3_DCI = Primaries((0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060))
BT_2020 = Primaries((*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046))
BT_470M = Primaries((0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08))
BT_601_625 = Primaries((*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06))
BT_601_525 = Primaries((*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070))

SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_ALPHA, _BETA = 1.09929682680944, 0.018053968510807
BT_709_CURVE = Curve(1 / 0.45, 1 / _ALPHA, (_ALPHA - 1) / _ALPHA, 1 / 4.5, 4.5 * _BETA)
"""The inverse of the camera's curve of BT.709, BT.601 and BT.2020 (ITU-T H.273, table 3, values 1, 6, 14 and 15)."""

SRGB = ColorSpace(SRGB_PRIMARIES, SRGB_CURVE)
ADOBE_RGB = ColorSpace(ADOBE_PRIMARIES, Curve(563 / 256))


def icc_profile(space: ColorSpace, grey: bool) -> bytes:
    """Return a version 4 display profile of a colour space, or of its curve alone for a grey image.

    Raise UnknownColors when its primaries span no colours, or its gamma is none that an image can have.
    """
    curve = _parametric(space.curve)
    tags = {b"wtpt": _xyz(D50)}
    if grey:
        tags[b"kTRC"] = curve
    else:
        columns = _to_d50(space.primaries).T
        tags |= {name: _xyz(tuple(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _assemble(b"GRAY" if grey else b"RGB ", tags)


def _to_d50(primaries: Primaries) -> np.ndarray:
    """Return [3,3], linear RGB -> XYZ under D50, adapted by Bradford's matrix as ICC's version 4 wants it."""
    points = np.array(primaries.xy, np.float64).reshape(4, 2)
    if not (points[:, 1] > 0).all():
        raise UnknownColors("has colour primaries that are none (its cHRM, or its header); save it as sRGB")
    xyz = np.stack([points[:, 0] / points[:, 1], np.ones(4), (1 - points.sum(1)) / points[:, 1]])
    white, columns = xyz[:, 0], xyz[:, 1:]
    if abs(np.linalg.det(columns)) < 1e-4:
        raise UnknownColors("has colour primaries that span no colours (its cHRM, or its header); save it as sRGB")
    matrix = columns * np.linalg.solve(columns, white)
    gain = (_BRADFORD @ np.array(D50)) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(gain) @ _BRADFORD @ matrix)


def _parametric(curve: Curve) -> bytes:
    if not 1 / _LARGEST_GAMMA <= curve.gamma <= _LARGEST_GAMMA:
        raise UnknownColors(f"has a gamma of {curve.gamma:.6g}, which no image has; save it as sRGB")
    numbers = (curve.gamma, curve.a, curve.b, curve.c, curve.d)
    return b"para" + struct.pack(">4xHxx", 3) + b"".join(_fixed(number) for number in numbers)


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(value) for value in values)


def _fixed(value: float) -> bytes:
    """Return ICC's s15Fixed16Number. Raise UnknownColors beyond its range."""
    if abs(value) >= 2**15:
        raise UnknownColors("has colour primaries that no light has (its cHRM, or its header); save it as sRGB")
    return struct.pack(">i", round(value * 65536))


def _assemble(kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Lay out header, table of tags and tags (ICC.1:2010, 7.2 and 7.3)."""
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4xI", start + len(body), 0x04300000) + b"mntr" + kind + b"XYZ "
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + b"".join(_fixed(value) for value in D50)
    return header.ljust(128, b"\0") + table + body
