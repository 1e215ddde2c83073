"""Colours mean what the file says: every profile and chunk to sRGB, held against LittleCMS and against closed forms."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import color_profiles as profiles
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from pipeline.inputs.datasets.images import BrokenImage, open_image
from pipeline.inputs.raw_folder import read_folder

COLORS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
SPACES: dict[str, tuple[profiles.Columns, Callable[[np.ndarray], np.ndarray]]] = {
    "Display P3": (profiles.P3_D50, profiles.srgb_light),
    "Adobe RGB": (profiles.ADOBE_D50, profiles.gamma(563 / 256)),
    "ProPhoto": (profiles.PROPHOTO_D50, profiles.gamma(1.8)),
    "linear sRGB": (profiles.SRGB_D50, profiles.gamma(1.0)),
}
D65 = (0.3127, 0.3290)
SRGB_XY = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_XY = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], np.ndarray]:
    """Open these bytes as an image -> [H,W,3] int."""

    def open_(content: bytes) -> np.ndarray:
        (tmp_path / "x.png").write_bytes(content)
        return np.asarray(open_image(tmp_path / "x.png")).astype(int)

    return open_


Opened = Callable[[bytes], np.ndarray]


def encoded(kind: str, image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def by_littlecms(image: Image.Image, profile: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")).astype(int)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_a_profile_is_converted_as_littlecms_and_the_closed_form_do(opened: Opened, kind: str, space: str) -> None:
    profile = profiles.matrix_profile(*SPACES[space])
    content = encoded(kind, Image.fromarray(COLORS), icc_profile=profile, **({"lossless": True} if kind == "WEBP" else {}))
    stored = Image.open(io.BytesIO(content)).convert("RGB")
    found = opened(content)
    np.testing.assert_allclose(found, by_littlecms(stored, profile), atol=1)
    np.testing.assert_allclose(found, profiles.in_srgb(np.asarray(stored), *SPACES[space]), atol=2)
    assert np.abs(found - np.asarray(stored).astype(int)).max() > 20


def test_the_red_of_a_telephone_is_redder_in_srgb(opened: Opened) -> None:
    profile = profiles.matrix_profile(*SPACES["Display P3"])
    assert opened(encoded("PNG", Image.new("RGB", (4, 4), (200, 80, 60)), icc_profile=profile))[0, 0].tolist() == [216, 69, 50]


SRGB_PROFILES = {
    "LittleCMS": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "version 2, a table of 1024": profiles.matrix_profile(profiles.SRGB_D50, profiles.srgb_light, 1024),
    "a short table": profiles.matrix_profile(profiles.SRGB_D50, profiles.srgb_light, 64),
}


@pytest.mark.parametrize("profile", SRGB_PROFILES.values(), ids=list(SRGB_PROFILES))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_srgb_profile_leaves_every_value_alone(opened: Opened, profile: bytes, mode: str) -> None:
    image = Image.fromarray(COLORS).convert(mode)
    np.testing.assert_array_equal(opened(encoded("PNG", image, icc_profile=profile)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("exponent", [1.0, 1.8, 2.2])
def test_grey_follows_its_curve(opened: Opened, exponent: float) -> None:
    profile = profiles.grey_profile(profiles.gamma(exponent))
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    expected = profiles.srgb_values((ramp / 255.0) ** exponent)[..., None]
    for content in (ramp, (ramp.astype(np.uint16) * 257)):
        found = opened(encoded("PNG", Image.fromarray(content), icc_profile=profile))
        np.testing.assert_allclose(found, np.broadcast_to(expected, (4, 256, 3)), atol=1)


def test_sixteen_bits_of_linear_grey_keep_their_shadows(opened: Opened) -> None:
    values = np.arange(0, 1024, dtype=np.uint16)[None]
    expected = profiles.srgb_values(values / 65535.0)[..., None]
    found = opened(profiles.png_with(Image.fromarray(values), profiles.gama(1.0)))
    np.testing.assert_allclose(found, np.broadcast_to(expected, (1, 1024, 3)), atol=1)


def test_grey_with_a_profile_of_colours_is_three_equal_values_in_it(opened: Opened) -> None:
    grey = Image.fromarray(COLORS[..., 0])
    profile = profiles.matrix_profile(*SPACES["ProPhoto"])
    found = opened(encoded("JPEG", grey, icc_profile=profile, quality=100))
    stored = Image.open(io.BytesIO(encoded("JPEG", grey, quality=100))).convert("RGB")
    np.testing.assert_allclose(found, by_littlecms(stored, profile), atol=1)


def test_cmyk_is_what_its_press_prints(opened: Opened) -> None:
    inks = Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 8, 4), dtype=np.uint8), "CMYK").resize((64, 64), 0)
    content = encoded("JPEG", inks, icc_profile=profiles.cmyk_profile(), quality=98)
    stored = Image.open(io.BytesIO(content))
    assert stored.mode == "CMYK"
    expected = by_littlecms(stored, profiles.cmyk_profile())
    np.testing.assert_allclose(opened(content), expected, atol=1)
    assert np.abs(expected - np.asarray(stored.convert("RGB"))).max() > 20


def damaged(profile: bytes) -> bytes:
    """A PNG whose iCCP chunk's packed data are spoilt."""
    content = bytearray(encoded("PNG", Image.fromarray(COLORS), icc_profile=profile))
    place = content.index(b"iCCP") + 30
    content[place : place + 8] = bytes(8)
    return bytes(content)


def miscounted(chunk: bytes) -> bytes:
    """A PNG with a chunk whose checksum is wrong in one bit."""
    return profiles.png_with(IMAGE, chunk[:-1] + bytes([chunk[-1] ^ 1]))


P3 = profiles.matrix_profile(*SPACES["Display P3"])
IMAGE = Image.fromarray(COLORS)
BROKEN = {
    "no profile at all": (encoded("PNG", IMAGE, icc_profile=b"not a profile"), "has a colour profile that cannot be read"),
    "half a profile": (encoded("JPEG", IMAGE, icc_profile=P3[: len(P3) // 2]), "has a colour profile that cannot be read"),
    "a profile without its curves": (
        encoded("WEBP", IMAGE, icc_profile=profiles.assemble("mntr", "RGB ", "XYZ ", {})), "has a colour profile that cannot"),
    "spoilt packing": (damaged(P3), "has a damaged colour profile (its iCCP chunk)"),
    "a profile's checksum": (
        miscounted(profiles.chunk("iCCP", b"P3\0\0" + zlib.compress(P3))), "has a damaged colour profile (its iCCP chunk)"),
    "a gamma's checksum": (miscounted(profiles.gama(1.0)), "has a damaged gAMA chunk (its checksum"),
    "a code point's checksum": (miscounted(profiles.cicp(12, 13, 0, 1)), "has a damaged cICP chunk (its checksum"),
    "a profile of no bytes": (
        profiles.png_with(IMAGE, profiles.chunk("iCCP", b"P3\0\0" + zlib.compress(b""))), "has a colour profile that cannot"),
    "an sRGB chunk without its byte": (profiles.png_with(IMAGE, profiles.chunk("sRGB", b"")), "has a damaged sRGB chunk"),
    "a piece of a JPEG's profile is missing": (
        encoded("JPEG", IMAGE, icc_profile=P3 * 8).replace(b"ICC_PROFILE\0\x01\x04", b"ICC_PROFILE\0\x01\x05", 1),
        "has a damaged colour profile (parts of it are missing)"),
    "grey's profile in colours": (
        encoded("PNG", IMAGE, icc_profile=profiles.grey_profile(profiles.gamma(2.2))), "has a colour profile for grey images"),
    "a press's profile in colours": (encoded("PNG", IMAGE, icc_profile=profiles.cmyk_profile()), "has a colour profile for"),
    "a device link": (
        encoded("PNG", IMAGE, icc_profile=profiles.assemble("link", "RGB ", "XYZ ", {})), "has a colour profile that is not"),
    "HDR by its profile": (
        encoded("PNG", IMAGE, icc_profile=profiles.assemble("mntr", "RGB ", "XYZ ", {"cicp": b"cicp\0\0\0\0\x09\x10\0\1"})),
        "is an HDR image (its profile says PQ or HLG)"),
    "HDR by PQ": (profiles.png_with(IMAGE, profiles.cicp(9, 16, 0, 1)), "is an HDR image (PQ), which sRGB cannot show"),
    "HDR by HLG": (profiles.png_with(IMAGE, profiles.cicp(9, 18, 0, 1)), "is an HDR image (HLG)"),
    "video levels": (profiles.png_with(IMAGE, profiles.cicp(1, 13, 0, 0)), "is stored as video levels"),
    "unknown code points": (profiles.png_with(IMAGE, profiles.cicp(99, 13, 0, 1)), "is in a colour space that is not known"),
    "a short cICP": (profiles.png_with(IMAGE, profiles.chunk("cICP", b"\x01")), "has a damaged cICP chunk"),
    "a gamma of 0": (profiles.png_with(IMAGE, profiles.gama(0)), "has a gAMA chunk of 0"),
    "a gamma of 100": (profiles.png_with(IMAGE, profiles.gama(0.01)), "has a gamma of 100, which no image has"),
    "a short cHRM": (profiles.png_with(IMAGE, profiles.chunk("cHRM", bytes(8))), "has a damaged gAMA or cHRM chunk"),
    "primaries on a line": (
        profiles.png_with(IMAGE, profiles.chrm(*D65, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3)), "has colour primaries that span no"),
    "primaries of 0": (profiles.png_with(IMAGE, profiles.chrm(*[0.0] * 8)), "has colour primaries that are none"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), BROKEN.values(), ids=list(BROKEN))
def test_a_colour_space_that_is_broken_or_cannot_be_shown_is_told(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(BrokenImage) as error:
        open_image(tmp_path / "x.png")
    assert str(error.value).startswith(sentence) and "sRGB" in str(error.value)


def bt_709(values: np.ndarray) -> np.ndarray:
    """The inverse of BT.709's camera curve, in its own rounded numbers."""
    return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))


BT2020_D50 = ((0.67348, 0.27904, -0.00193), (0.16566, 0.67535, 0.02998), (0.12505, 0.04561, 0.79685))
CHUNKS: dict[str, tuple[tuple[bytes, ...], profiles.Columns, Callable[[np.ndarray], np.ndarray]]] = {
    "gAMA 1": ((profiles.gama(1.0),), profiles.SRGB_D50, profiles.gamma(1.0)),
    "gAMA 1/1.8": ((profiles.gama(1 / 1.8),), profiles.SRGB_D50, profiles.gamma(1.8)),
    "cHRM alone": ((profiles.chrm(*ADOBE_XY),), profiles.ADOBE_D50, profiles.srgb_light),
    "gAMA and cHRM": ((profiles.gama(1 / 2.2), profiles.chrm(*ADOBE_XY)), profiles.ADOBE_D50, profiles.gamma(2.2)),
    "cICP of P3": ((profiles.cicp(12, 13, 0, 1),), profiles.P3_D50, profiles.srgb_light),
    "cICP of BT.709": ((profiles.cicp(1, 1, 0, 1),), profiles.SRGB_D50, bt_709),
    "cICP of BT.2020": ((profiles.cicp(9, 14, 0, 1),), BT2020_D50, bt_709),
    "cICP of linear light": ((profiles.cicp(1, 8, 0, 1),), profiles.SRGB_D50, profiles.gamma(1.0)),
    "cICP before gAMA": ((profiles.cicp(12, 13, 0, 1), profiles.gama(1.0)), profiles.P3_D50, profiles.srgb_light),
    "cICP that says nothing": ((profiles.cicp(2, 2, 0, 1), profiles.gama(1.0)), profiles.SRGB_D50, profiles.gamma(1.0)),
}


@pytest.mark.parametrize(("chunks", "columns", "light"), CHUNKS.values(), ids=list(CHUNKS))
def test_a_pngs_own_chunks_are_obeyed(
    opened: Opened, chunks: tuple[bytes, ...], columns: profiles.Columns, light: Callable[[np.ndarray], np.ndarray]
) -> None:
    found = opened(profiles.png_with(IMAGE, *chunks))
    np.testing.assert_allclose(found, profiles.in_srgb(COLORS, columns, light), atol=2)
    assert np.abs(found - COLORS).max() > 10


SRGB_CHUNKS = {
    "sRGB": (profiles.chunk("sRGB", b"\0"),),
    "sRGB with its gAMA and cHRM": (profiles.chunk("sRGB", b"\0"), profiles.gama(0.45455), profiles.chrm(*SRGB_XY)),
    "sRGB before gAMA": (profiles.chunk("sRGB", b"\0"), profiles.gama(1.0)),
    "gAMA and cHRM of sRGB": (profiles.gama(0.45455), profiles.chrm(*SRGB_XY)),
    "gAMA of sRGB": (profiles.gama(0.45),),
    "cICP of sRGB before a profile": (profiles.cicp(1, 13, 0, 1), profiles.gama(1.0)),
}


@pytest.mark.parametrize("chunks", SRGB_CHUNKS.values(), ids=list(SRGB_CHUNKS))
def test_a_png_that_says_srgb_in_any_way_is_left_alone(opened: Opened, chunks: tuple[bytes, ...]) -> None:
    np.testing.assert_array_equal(opened(profiles.png_with(IMAGE, *chunks)), COLORS)


def test_colours_are_converted_before_they_are_laid_on_white(opened: Opened) -> None:
    half = Image.new("RGBA", (8, 8), (200, 80, 60, 128))
    found = opened(encoded("PNG", half, icc_profile=P3))[0, 0]
    alpha = 128 / 255
    np.testing.assert_allclose(found, [alpha * value + (1 - alpha) * 255 for value in (216, 69, 50)], atol=1)
    assert (opened(encoded("WEBP", Image.new("RGBA", (8, 8), (200, 80, 60, 0)), icc_profile=P3, lossless=True)) == 255).all()


def test_colours_are_converted_before_the_image_is_made_smaller(tmp_path: Path) -> None:
    lines = np.zeros((128, 128, 3), np.uint8)
    lines[::2] = (200, 80, 60)
    for name in "ab":
        Image.fromarray(lines).save(tmp_path / f"{name}.png", icc_profile=P3)
        (tmp_path / f"{name}.txt").write_text("lines")
    found = read_folder(tmp_path, 64).images[0].pixels.astype(int)
    np.testing.assert_allclose(found[16:48], np.broadcast_to([108, 34.5, 25], (32, 64, 3)), atol=2)


def test_a_palettes_colours_are_in_the_profile_too(opened: Opened) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 255, 0, 200, 80, 60])
    image.paste(0, (0, 0, 8, 4))
    found = opened(encoded("PNG", image, icc_profile=P3, transparency=0))
    assert found[0, 0].tolist() == [255, 255, 255] and found[7, 0].tolist() == [216, 69, 50]


def exif(**tags: object) -> Image.Exif:
    found = Image.Exif()
    inner = {0xA001: tags.get("space", 0xFFFF)}
    if "index" in tags:
        inner[0xA005] = {1: tags["index"]}
    found[0x8769] = inner
    if "orientation" in tags:
        found[0x0112] = tags["orientation"]
    return found


@pytest.mark.parametrize("said", [{"index": "R03"}, {"space": 2}], ids=["R03", "2 for the space"])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_a_camera_that_says_adobe_rgb_without_a_profile_is_believed(opened: Opened, kind: str, said: dict[str, object]) -> None:
    content = encoded(kind, Image.new("RGB", (16, 16), (60, 160, 60)), exif=exif(**said), quality=100, lossless=True)
    stored = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_allclose(opened(content), profiles.in_srgb(stored, *SPACES["Adobe RGB"]), atol=2)


@pytest.mark.parametrize("said", [{"space": 1, "index": "R98"}, {"space": 1}, {"space": 0xFFFF}])
def test_a_camera_that_says_srgb_or_nothing_is_left_alone(opened: Opened, said: dict[str, object]) -> None:
    content = encoded("PNG", IMAGE, exif=exif(**said))
    np.testing.assert_array_equal(opened(content), COLORS)


def test_a_turned_image_is_turned_and_converted(opened: Opened) -> None:
    image = Image.new("RGB", (8, 4), "black")
    image.paste((200, 80, 60), (0, 0, 4, 4))
    found = opened(encoded("PNG", image, exif=exif(orientation=6), icc_profile=P3))
    assert found.shape == (8, 4, 3) and found[0, 0].tolist() == [216, 69, 50] and found[7, 0].tolist() == [0, 0, 0]


def v5_bmp(kind: bytes, profile: bytes = b"", endpoints: tuple[float, ...] = (0.0,) * 9, gammas: float = 0.0) -> bytes:
    """A BMP of 2x2 pixels of (200, 80, 60) with the header that may hold a colour space."""
    header = struct.pack("<IiiHHIIiiII", 124, 2, 2, 1, 24, 0, 16, 2835, 2835, 0, 0) + bytes(16) + kind[::-1]
    header += struct.pack("<9i", *(round(value * 2**30) for value in endpoints)) + struct.pack(
        "<3I", *[round(gammas * 65536)] * 3
    )
    header += struct.pack("<IIII", 4, 124 + 16, len(profile), 0)
    pixels = (bytes((60, 80, 200)) * 2 + bytes(2)) * 2
    return b"BM" + struct.pack("<IHHI", 14 + 124 + 16 + len(profile), 0, 0, 14 + 124) + header + pixels + profile


P3_D65 = (0.4866, 0.2290, 0.0000, 0.2657, 0.6917, 0.0451, 0.1982, 0.0793, 1.0439)


def test_the_colour_space_of_a_bmp_is_read(opened: Opened) -> None:
    assert opened(v5_bmp(b"MBED", P3))[0, 0].tolist() == [216, 69, 50]
    assert opened(v5_bmp(b"sRGB"))[0, 0].tolist() == [200, 80, 60]
    assert opened(v5_bmp(bytes(4)))[0, 0].tolist() == [200, 80, 60]
    expected = profiles.in_srgb(np.array([200, 80, 60]), profiles.P3_D50, profiles.gamma(2.0))
    np.testing.assert_allclose(opened(v5_bmp(bytes(4), b"", P3_D65, 2.0))[0, 0], expected, atol=2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(v5_bmp(b"LINK", b"C:\\x.icc\0"), "names a colour profile in another file"),
     (v5_bmp(b"MBED", b"x"), "has a colour profile that cannot be read"),
     (v5_bmp(b"MBED", P3)[:-200], "has a damaged colour profile (it ends beyond the file)")],
)  # fmt: skip
def test_a_bmp_whose_profile_cannot_be_had_is_told(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "x.bmp").write_bytes(content)
    with pytest.raises(BrokenImage) as error:
        open_image(tmp_path / "x.bmp")
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_clear_colour_of_grey_is_white_at_any_depth(opened: Opened, depth: int) -> None:
    if depth == 16:
        image, key = Image.fromarray(np.full((8, 8), 40_000, np.uint16)), 40_000
    else:
        key = 2 ** (depth - 1) - 1
        image = Image.new("1" if depth == 1 else "L", (8, 8), key * 255 // (2**depth - 1))
    chunk = profiles.chunk("tRNS", struct.pack(">H", key))
    content = grey_png(image, depth, chunk)
    assert (opened(content) == 255).all() and (opened(content.replace(chunk, b"")) != 255).all()


def grey_png(image: Image.Image, depth: int, chunk: bytes) -> bytes:
    """A grey PNG of 8x8 equal pixels of so many bits."""
    import zlib

    value = int(np.asarray(image).astype(int)[0, 0])
    sample = value if depth in (8, 16) else value * (2**depth - 1) // 255
    bits = "".join(f"{sample:0{depth}b}" for _ in range(8))
    row = b"\0" + int(bits, 2).to_bytes(depth, "big")
    header = profiles.chunk("IHDR", struct.pack(">IIBBBBB", 8, 8, depth, 0, 0, 0, 0))
    end = profiles.chunk("IDAT", zlib.compress(row * 8)) + profiles.chunk("IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + chunk + end


def test_large_text_is_no_reason_to_refuse_an_image(opened: Opened) -> None:
    for name, compressed in (("workflow", True), ("parameters", False), ("XML:com.adobe.xmp", True)):
        text = PngImagePlugin.PngInfo()
        text.add_itxt(name, "a long workflow " * 500_000, zip=compressed)
        np.testing.assert_array_equal(opened(encoded("PNG", IMAGE, pnginfo=text)), COLORS)


def test_an_orientation_in_a_texts_is_still_applied(opened: Opened) -> None:
    content = encoded("PNG", Image.fromarray(COLORS[:32]), exif=exif(orientation=6))
    start = content.index(b"eXIf")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    block = b"Exif\0\0" + content[start + 4 : start + 4 + length]
    raw = f"\nexif\n{len(block):8}\n{block.hex()}\n"
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", raw, zip=True)
    assert opened(encoded("PNG", Image.fromarray(COLORS[:32]), pnginfo=text)).shape == (64, 32, 3)
