"""Read a PNG's chunks: what it says of its colours, and its bytes without the text that Pillow would not read past."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.inputs.datasets.color.spaces import UnknownColors

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_CHUNKS = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_ORIENTATION_IN = (b"Raw profile type exif\0", b"Raw profile type APP1\0", b"XML:com.adobe.xmp\0", b"exif\0")
"""Beginnings of text chunks in which some programs keep an image's orientation."""

_LONGEST_KEPT_TEXT = 2**16
_LARGEST_PROFILE = 2**24
"""Bytes; the largest profiles in use, of printing presses, have 2 to 3 MB."""


@dataclass(frozen=True)
class Png:
    """A PNG's bits a sample, its chunks on colour by name (the first of each), and the bytes to decode."""

    content: bytes
    depth: int = 8
    said: dict[bytes, bytes] = field(default_factory=dict)
    damaged: str | None = None
    """The first chunk on colour whose checksum is wrong."""

    def require_whole(self) -> None:
        """Raise UnknownColors when a chunk on colour is damaged, by its checksum or its length."""
        short = "sRGB" if len(self.said.get(b"sRGB", b"0")) != 1 else None
        if name := self.damaged or short:
            what = "colour profile (its iCCP chunk)" if name == "iCCP" else f"{name} chunk (its checksum or length is wrong)"
            raise UnknownColors(f"has a damaged {what}; save it as sRGB")

    def profile(self) -> bytes | None:
        """Return the embedded ICC profile. Raise UnknownColors when it cannot be unpacked."""
        if b"iCCP" not in self.said:
            return None
        _, ended, packed = self.said[b"iCCP"].partition(b"\0")
        if not ended or packed[:1] != b"\0":
            raise UnknownColors("has a damaged colour profile (its iCCP chunk); save it as sRGB")
        try:
            unpack = zlib.decompressobj()
            profile = unpack.decompress(packed[1:], _LARGEST_PROFILE)
        except zlib.error as error:
            raise UnknownColors("has a damaged colour profile (its iCCP chunk); save it as sRGB") from error
        if not unpack.eof:
            raise UnknownColors("has a colour profile that is cut or too large (its iCCP chunk); save it as sRGB")
        return profile


def read_png(content: bytes, keep: bytes = b"") -> Png:
    """Take a PNG's chunks apart; what is damaged is left for the decoder to judge.

    Text is left out, because Pillow refuses an image for its text alone where that is large (a drawing program's or a
    generator's whole workflow); so is the profile, which `Png.profile` reads. Neither is needed to decode pixels.
    Text under the keyword `keep` stays.
    """
    kept, said, depth = [SIGNATURE], dict[bytes, bytes](), 8
    pixels_seen, damaged = False, None
    for name, start, end in _chunks(content):
        body = content[start + 8 : end - 4]
        pixels_seen |= name == b"IDAT"
        if name == b"IHDR" and len(body) > 8:
            depth = body[8]
        if name in _COLOR_CHUNKS and not pixels_seen:
            said.setdefault(name, body)
            if zlib.crc32(content[start + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
                damaged = damaged or name.decode()
        if name in _COLOR_CHUNKS or (name in _TEXT_CHUNKS and not _is_kept(body, keep)):
            continue
        kept.append(content[start:end])
    return Png(b"".join(kept), depth, said, damaged)


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk; what follows the last whole one comes as a chunk without a name."""
    place = len(SIGNATURE)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 12 + length
        if end > len(content):
            break
        yield content[place + 4 : place + 8], place, end
        place = end
    yield b"", place, len(content)


def _is_kept(body: bytes, keyword: bytes) -> bool:
    """Tell whether a text chunk has the keyword, or may hold the orientation, and is small."""
    wanted = (*_ORIENTATION_IN, keyword + b"\0") if keyword else _ORIENTATION_IN
    return body.startswith(wanted) and len(body) <= _LONGEST_KEPT_TEXT and _unpacks_small(body)


def _unpacks_small(body: bytes) -> bool:
    """Tell whether a text chunk, if it is packed, stays below Pillow's limit; zlib's data start with 0x78 after the name."""
    start = body.find(b"\x78", body.find(b"\0"))
    if start < 0:
        return True
    try:
        return len(zlib.decompressobj().decompress(body[start:], 2**20)) < 2**20
    except zlib.error:
        return True
