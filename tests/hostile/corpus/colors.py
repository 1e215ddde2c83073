"""Images whose numbers mean other colours than sRGB's: by profile, by chunk, by EXIF, by mode."""

from __future__ import annotations

import io
import struct

import color_profiles as profiles
import numpy as np
from hostile.corpus.row import Refused, Row, Shows, image
from PIL import Image, ImageCms, PngImagePlugin

RED = (200, 80, 60)
"""As Display P3 it is (216, 69, 50) in sRGB."""

CELL = Image.new("RGB", (64, 64), RED)


def encoded(kind: str, picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(upper: object, lower: object, mode: str = "RGB") -> Image.Image:
    picture = Image.new(mode, (64, 64), upper)
    picture.paste(lower, (0, 32, 64, 64))
    return picture


def shows(columns: profiles.Columns, light: object, values: tuple[int, int, int] = RED) -> Shows:
    """What the closed form says of these values in a colour space."""
    return Shows(tuple(int(round(value)) for value in profiles.in_srgb(np.array(values), columns, light)))  # type: ignore[arg-type]


P3 = profiles.matrix_profile(profiles.P3_D50, profiles.srgb_light)
ADOBE = profiles.matrix_profile(profiles.ADOBE_D50, profiles.gamma(563 / 256))
PROPHOTO = profiles.matrix_profile(profiles.PROPHOTO_D50, profiles.gamma(1.8))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3_SHOWN = Shows((216, 69, 50))


def adobe_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 0xFFFF, 0xA005: {1: "R03"}}
    return exif


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 3
    return exif


def sixteen_bit_colour() -> bytes:
    """A PNG of 16 bits a colour, (200, 80, 60) as bytes twice, in Display P3."""
    pixel = b"".join(struct.pack(">H", value * 257) for value in RED)
    rows = (b"\0" + pixel * 64) * 64
    import zlib

    header = profiles.chunk("IHDR", struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, 0))
    colors = profiles.chunk("iCCP", b"P3\0\0" + zlib.compress(P3))
    end = profiles.chunk("IDAT", zlib.compress(rows)) + profiles.chunk("IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + colors + end


def text_of(size: int) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "node " * (size // 5), zip=True)
    return info


def palette() -> Image.Image:
    picture = Image.new("P", (64, 64), 1)
    picture.putpalette([0, 255, 0, *RED])
    picture.paste(0, (0, 0, 64, 32))
    return picture


CMYK = Image.new("CMYK", (64, 64), (200, 30, 60, 20))
GREY = Image.new("L", (64, 64), 100)
GREY_SHOWN = Shows((int(round(float(profiles.srgb_values(np.array((100 / 255) ** 1.8))))),) * 3)
CMYK_SHOWN = Shows(
    ImageCms.profileToProfile(
        CMYK, ImageCms.ImageCmsProfile(io.BytesIO(profiles.cmyk_profile())), ImageCms.createProfile("sRGB"), outputMode="RGB"
    ).getpixel((0, 0))  # type: ignore[arg-type, union-attr]
)
D65 = (0.3127, 0.3290)

ROWS = [
    Row("PNG in Display P3", image(encoded("PNG", CELL, icc_profile=P3)), P3_SHOWN),
    Row("JPEG in Display P3", image(encoded("JPEG", CELL, icc_profile=P3, quality=98), "x.jpg"), P3_SHOWN),
    Row("WebP in Display P3", image(encoded("WEBP", CELL, icc_profile=P3, lossless=True), "x.webp"), P3_SHOWN),
    Row("PNG of 16 bits a colour in Display P3", image(sixteen_bit_colour()), P3_SHOWN),
    Row(
        "PNG in Adobe RGB", image(encoded("PNG", CELL, icc_profile=ADOBE)), shows(profiles.ADOBE_D50, profiles.gamma(563 / 256))
    ),
    Row(
        "WebP in ProPhoto",
        image(encoded("WEBP", CELL, icc_profile=PROPHOTO, lossless=True), "x.webp"),
        shows(profiles.PROPHOTO_D50, profiles.gamma(1.8)),
    ),
    Row("PNG in sRGB by profile", image(encoded("PNG", CELL, icc_profile=SRGB)), Shows(RED, off=0)),
    Row(
        "PNG in sRGB by chunk",
        image(profiles.png_with(CELL, profiles.chunk("sRGB", b"\0"), profiles.gama(1.0))),
        Shows(RED, off=0),
    ),
    Row(
        "PNG of linear light by gAMA",
        image(profiles.png_with(CELL, profiles.gama(1.0))),
        shows(profiles.SRGB_D50, profiles.gamma(1.0)),
    ),
    Row("PNG with gAMA of sRGB", image(profiles.png_with(CELL, profiles.gama(0.45455))), Shows(RED, off=0)),
    Row(
        "PNG with Adobe's cHRM and gAMA",
        image(profiles.png_with(CELL, profiles.gama(1 / 2.2), profiles.chrm(*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06))),
        shows(profiles.ADOBE_D50, profiles.gamma(2.2)),
    ),
    Row("PNG with cICP of P3", image(profiles.png_with(CELL, profiles.cicp(12, 13, 0, 1))), P3_SHOWN),
    Row("PNG of HDR by PQ", image(profiles.png_with(CELL, profiles.cicp(9, 16, 0, 1))), Refused("x.png is an HDR image (PQ)")),
    Row(
        "PNG of HDR by HLG", image(profiles.png_with(CELL, profiles.cicp(9, 18, 0, 1))), Refused("x.png is an HDR image (HLG)")
    ),
    Row(
        "PNG of video levels",
        image(profiles.png_with(CELL, profiles.cicp(1, 13, 0, 0))),
        Refused("x.png is stored as video levels"),
    ),
    Row(
        "PNG with a profile that is text",
        image(encoded("PNG", CELL, icc_profile=b"hello")),
        Refused("x.png has a colour profile that cannot be read; save it as sRGB"),
    ),
    Row(
        "JPEG with half a profile",
        image(encoded("JPEG", CELL, icc_profile=P3[:900]), "x.jpg"),
        Refused("x.jpg has a colour profile that cannot be read"),
    ),
    Row(
        "colours with a grey profile",
        image(encoded("PNG", CELL, icc_profile=profiles.grey_profile(profiles.gamma(2.2)))),
        Refused("x.png has a colour profile for grey images, but is RGB"),
    ),
    Row("grey of gamma 1.8", image(encoded("PNG", GREY, icc_profile=profiles.grey_profile(profiles.gamma(1.8)))), GREY_SHOWN),
    Row("grey JPEG in sRGB", image(encoded("JPEG", GREY, icc_profile=SRGB, quality=98), "x.jpg"), Shows((100,) * 3)),
    Row(
        "grey of 16 bits",
        image(encoded("PNG", Image.fromarray(np.full((64, 64), 100 * 257, np.uint16)))),
        Shows((100,) * 3, off=0),
    ),
    Row(
        "CMYK JPEG of a press",
        image(encoded("JPEG", CMYK, icc_profile=profiles.cmyk_profile(), quality=98), "x.jpg"),
        CMYK_SHOWN,
    ),
    Row(
        "CMYK JPEG without a profile",
        image(encoded("JPEG", halves("red", "blue").convert("CMYK"), quality=95), "x.jpg"),
        Shows((255, 0, 0), (0, 0, 255)),
    ),
    Row(
        "JPEG of a camera set to Adobe RGB",
        image(encoded("JPEG", CELL, exif=adobe_exif(), quality=98), "x.jpg"),
        shows(profiles.ADOBE_D50, profiles.gamma(563 / 256)),
    ),
    Row(
        "half clear in Display P3",
        image(encoded("PNG", Image.new("RGBA", (64, 64), (*RED, 128)), icc_profile=P3)),
        Shows((235, 162, 152)),
    ),
    Row(
        "palette with a clear colour in Display P3",
        image(encoded("PNG", palette(), icc_profile=P3, transparency=0)),
        Shows((255, 255, 255), (216, 69, 50)),
    ),
    Row(
        "turned, in Display P3",
        image(encoded("JPEG", halves("black", RED), exif=turned(), icc_profile=P3, quality=98), "x.jpg"),
        Shows((216, 69, 50), (0, 0, 0), off=4),
    ),
    Row("PNG with 8 MB of text", image(encoded("PNG", CELL, pnginfo=text_of(8_000_000))), Shows(RED, off=0)),
]
