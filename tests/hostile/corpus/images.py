"""Images and names of files that nobody should trust: refused by name in one sentence, or shown as they look."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from hostile.corpus.row import Bring, Refused, Row, Shows
from hostile.corpus.row import image as brought
from hostile.workplace import Make, picture, surrogate_name
from PIL import Image


def bad(content: bytes, name: str = "bad.png") -> Make:
    """Puts `content` there as an image with a good caption."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(content)
        (folder / name).with_suffix(".txt").write_text("a caption")

    return make


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind: str) -> bytes:
    return encoded(kind, save_all=True, append_images=[picture("a"), picture("b")])


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_header(width: int, height: int, extra: bytes = b"") -> bytes:
    """A PNG that says how large it is and holds next to nothing."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
TEXT_BOMB = png_header(64, 64, chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(8_000_000))))
BMP_BOMB = (
    b"BM" + bytes(8) + b"\x36\0\0\0" + b"\x28\0\0\0" + (40_000).to_bytes(4, "little") * 2 + b"\x01\x00\x18\x00" + bytes(24)
)


def link(name: str, target: str) -> Make:
    def make(folder: Path) -> None:
        (folder / name).symlink_to(target)
        if name.endswith(".png"):
            (folder / name).with_suffix(".txt").write_text("a caption")
        else:
            picture().save((folder / name).with_suffix(".png"))

    return make


UNREADABLE = "cannot be read as an image (truncated, or no PNG, JPEG, WebP or BMP)"
REFUSED: dict[str, tuple[Make, str]] = {
    "zero bytes": (bad(b""), "bad.png is empty (0 bytes)"),
    "truncated PNG": (bad(encoded("PNG", NOISE)[:3000]), UNREADABLE),
    "truncated JPEG": (bad(encoded("JPEG", NOISE)[:900], "bad.jpg"), UNREADABLE),
    "truncated WebP": (bad(encoded("WEBP", NOISE)[:300], "bad.webp"), UNREADABLE),
    "a PNG's first bytes": (bad(b"\x89PNG\r\n\x1a\n"), UNREADABLE),
    "a damaged checksum": (bad(encoded("PNG", NOISE).replace(b"IDAT", b"IDAX", 1)), UNREADABLE),
    "text named PNG": (bad(b"not an image"), UNREADABLE),
    "HTML named PNG": (bad(b"<html><script>alert(1)</script></html>"), UNREADABLE),
    "SVG named PNG": (bad(b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'), UNREADABLE),
    "PostScript named PNG": (bad(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(x) run\n"), UNREADABLE),
    "Photoshop named PNG": (bad(b"8BPS\0\1" + bytes(60)), UNREADABLE),
    "TIFF named PNG": (bad(encoded("TIFF")), UNREADABLE),
    "pickle named PNG": (bad(b"\x80\x04cos\nsystem\n(S'true'\ntR."), UNREADABLE),
    "zip named JPEG": (bad(b"PK\x03\x04" + bytes(60), "bad.jpg"), UNREADABLE),
    "GIF animation named PNG": (bad(animated("GIF")), UNREADABLE),
    "GIF animation": (
        bad(animated("GIF"), "bad.gif"),
        "bad.gif is an image in a format that is not read (gif); convert it to PNG",
    ),
    "animated PNG": (bad(animated("PNG")), "bad.png is an animation of 3 frames; save the frame that you mean as an image"),
    "animated WebP": (bad(animated("WEBP"), "bad.webp"), "bad.webp is an animation of 3 frames"),
    "bomb of 3.6 gigapixels": (bad(png_header(60_000, 60_000)), "bad.png is too large to be opened safely (over 89,478,485"),
    "bomb of 120 megapixels": (bad(png_header(12_000, 10_000)), "bad.png is too large to be opened safely"),
    "BMP bomb": (bad(BMP_BOMB, "bad.bmp"), "bad.bmp is too large to be opened safely"),
    "bomb in a text chunk": (bad(TEXT_BOMB), UNREADABLE),
    "too small": (bad(encoded("PNG", picture(size=(63, 900)))), "bad.png is 63x900, smaller than the resolution 64x64"),
    "link out of the folder": (link("bad.png", "../models/M_1/lora.safetensors"), "bad.png is a link out of raw"),
    "link to the system": (link("bad.txt", "/etc/passwd"), "bad.txt is a link out of raw; put the file itself there"),
    "link to nowhere": (link("bad.png", "gone.png"), "bad.png is a link that leads nowhere"),
    "link to itself": (link("bad.png", "bad.png"), "bad.png is a link that leads nowhere"),
    "folder named PNG": (lambda folder: (folder / "bad.png").mkdir(), "bad.png is a folder, though it is named as an image"),
    "pipe named PNG": (
        lambda folder: os.mkfifo(folder / "bad.png"),
        "bad.png is no plain file, though it is named",
    ),
    "checkpoint among images": (lambda folder: (folder / "m.ckpt").write_bytes(b"PK\x03\x04"), "m.ckpt is neither an image"),
    "two images, one caption": (
        bad(encoded("JPEG"), "a.jpg"),
        "a.jpg has the name of a.png, and one caption",
    ),
    "two captions, one image": (
        lambda f: (f / "a.TXT").write_text("x"),
        "a.png has 2 captions that differ",
    ),
    "name in Latin-1": (surrogate_name, "caf\\udce9.png has a name that is not UTF-8; rename it"),
    "name with a line break": (lambda f: picture().save(f / "x\ny.png"), "x\\ny.png has no caption"),
    "name that rings": (lambda f: picture().save(f / "\x1b]0;x\x07.png"), "\\x1b]0;x\\x07.png has no caption"),
    "name like an option": (lambda f: picture().save(f / "-rf.png"), "-rf.png has no caption"),
    "name like a shell line": (lambda f: picture().save(f / "$(touch x);.png"), "$(touch x);.png has no caption"),
    "name that writes backwards": (lambda f: (f / "\u202egpj.exe").write_bytes(b""), "\\u202egpj.exe is neither an image"),
}


def turned() -> bytes:
    """White below black, told to be shown upside down."""
    exif = Image.Exif()
    exif[0x0112] = 3
    return encoded("JPEG", halves("black", "white"), exif=exif, quality=95)


def halves(upper: str, lower: str) -> Image.Image:
    image = picture(size=(64, 64))
    image.paste(upper, (0, 0, 64, 32))
    image.paste(lower, (0, 32, 64, 64))
    return image


def clear_palette() -> bytes:
    image = Image.new("P", (64, 64), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 64, 32))
    return encoded("PNG", image, transparency=0)


CONVERTED: dict[str, tuple[bytes, tuple[int, int, int], tuple[int, int, int]]] = {
    "CMYK": (encoded("JPEG", halves("red", "blue").convert("CMYK"), quality=95), (255, 0, 0), (0, 0, 255)),
    "palette with a clear colour": (clear_palette(), (255, 255, 255), (0, 0, 255)),
    "black and white": (encoded("PNG", halves("white", "black").convert("1")), (255, 255, 255), (0, 0, 0)),
    "grey with alpha": (encoded("PNG", Image.new("LA", (64, 64), (0, 0))), (255, 255, 255), (255, 255, 255)),
    "half clear": (encoded("WEBP", Image.new("RGBA", (64, 64), (0, 0, 0, 0)), lossless=True), (255,) * 3, (255,) * 3),
    "EXIF orientation": (turned(), (255, 255, 255), (0, 0, 0)),
    "JPEG named PNG": (encoded("JPEG", halves("red", "blue"), quality=95), (255, 0, 0), (0, 0, 255)),
    "PNG of one frame": (encoded("PNG", halves("red", "blue"), save_all=True), (255, 0, 0), (0, 0, 255)),
}


def _in_raw(make: Make) -> Bring:
    return lambda place: make(place.raw)


ROWS = [Row(name, _in_raw(make), Refused(sentence)) for name, (make, sentence) in REFUSED.items()] + [
    Row(name, brought(content), Shows(upper, lower)) for name, (content, upper, lower) in CONVERTED.items()
]
