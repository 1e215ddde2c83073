"""ICC profiles, made without the package: matrix and curve (version 2), grey, and a table of CMYK; and chunks of PNGs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

# Colorants under D50, as published with each space (Adobe RGB (1998), ROMM RGB, Display P3).
SRGB_D50 = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
ADOBE_D50 = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO_D50 = ((0.79767, 0.28804, 0.0), (0.13519, 0.71187, 0.0), (0.03134, 0.00009, 0.82491))
P3_D50 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))

Columns = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


def srgb_light(values: np.ndarray) -> np.ndarray:
    """Values in 0..1 -> linear light (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_values(light: np.ndarray) -> np.ndarray:
    """Linear light -> 0..255, clipped (IEC 61966-2-1)."""
    light = np.clip(light, 0.0, 1.0)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def gamma(exponent: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: np.asarray(values**exponent)


def in_srgb(values: np.ndarray, columns: Columns, light: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Closed form: [..., 3] in 0..255 of the space -> [..., 3] in 0..255 of sRGB."""
    linear = light(values.astype(np.float64) / 255) @ np.array(columns)
    return np.asarray(srgb_values(linear @ np.linalg.inv(np.array(SRGB_D50))))


def matrix_profile(columns: Columns, light: Callable[[np.ndarray], np.ndarray], points: int = 4096) -> bytes:
    """A display profile of version 2, whose curves are tables of `points` values."""
    curve = table(light, points)
    tags = {name: xyz(column) for name, column in zip(("rXYZ", "gXYZ", "bXYZ"), columns, strict=True)}
    return assemble("mntr", "RGB ", "XYZ ", tags | dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve))


def grey_profile(light: Callable[[np.ndarray], np.ndarray]) -> bytes:
    return assemble("mntr", "GRAY", "XYZ ", {"kTRC": table(light, 4096)})


def cmyk_profile() -> bytes:
    """A press of strong ink: a table (lut8) of two points an ink, CMYK -> Lab."""
    inks = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), -1).reshape(-1, 4)
    light = 1 - inks[:, :3] * 0.85
    key = 1 - 0.9 * inks[:, 3:]
    lightness = 255 * np.clip((light.mean(1, keepdims=True) * key) ** 0.6, 0.05, 1)
    a = 128 + 60 * (light[:, :1] - light[:, 1:2]) * key
    b = 128 + 60 * (light[:, 1:2] - light[:, 2:3]) * key
    nodes = np.clip(np.rint(np.concatenate([lightness, a, b], 1)), 0, 255).astype(np.uint8)
    identity = np.eye(3).ravel()
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + b"".join(fixed(value) for value in identity)
    lut += bytes(range(256)) * 4 + nodes.tobytes() + bytes(range(256)) * 3
    return assemble("prtr", "CMYK", "Lab ", {"A2B0": lut})


def table(light: Callable[[np.ndarray], np.ndarray], points: int) -> bytes:
    values = np.rint(65535 * light(np.linspace(0, 1, points))).astype(">u2")
    return b"curv" + struct.pack(">4xI", points) + values.tobytes()


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(fixed(value) for value in values)


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def assemble(device: str, colors: str, connection: str, tags: Mapping[str, bytes]) -> bytes:
    tags = {"wtpt": xyz((0.9642, 1.0, 0.8249)), **tags}
    entries, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        entries += name.encode() + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4xI", start + len(body), 0x02400000) + f"{device}{colors}{connection}".encode() + bytes(12)
    header += b"acsp" + bytes(28) + b"".join(fixed(value) for value in (0.9642, 1.0, 0.8249)) + bytes(48)
    return header + struct.pack(">I", len(tags)) + entries + body


def chunk(name: str, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name.encode() + content + struct.pack(">I", zlib.crc32(name.encode() + content))


def png_with(image: Image.Image, *chunks: bytes, **options: object) -> bytes:
    """A PNG with chunks between its header and its pixels."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    content = buffer.getvalue()
    return content[:33] + b"".join(chunks) + content[33:]


def gama(value: float) -> bytes:
    return chunk("gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(*xy: float) -> bytes:
    """White, red, green, blue."""
    return chunk("cHRM", struct.pack(">8I", *(round(value * 100_000) for value in xy)))


def cicp(*code_points: int) -> bytes:
    return chunk("cICP", bytes(code_points))
