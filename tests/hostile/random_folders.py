"""Random folders of images, captions, tables and litter, as a list of files to write."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import color_profiles as profiles
import numpy as np
from hypothesis import strategies as st
from PIL import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp")


@dataclass(frozen=True)
class Entry:
    """A file, by its path in bytes; a link where it has a target; a folder where content is None."""

    path: bytes
    content: bytes | None
    target: str = ""


def encoded(kind: str, image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


_NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((64, 64), 0)
_FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (64, 64), "red")]}
_P3 = profiles.matrix_profile(profiles.P3_D50, profiles.srgb_light)
CONTENTS: dict[str, bytes] = {
    "PNG": encoded("PNG", _NOISE),
    "JPEG": encoded("JPEG", _NOISE),
    "WebP": encoded("WEBP", _NOISE),
    "BMP": encoded("BMP", _NOISE),
    "grey": encoded("PNG", _NOISE.convert("L")),
    "palette": encoded("PNG", _NOISE.convert("P"), transparency=0),
    "alpha": encoded("PNG", _NOISE.convert("RGBA")),
    "16 bits": encoded("PNG", Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64))),
    "CMYK": encoded("JPEG", _NOISE.convert("CMYK")),
    "Display P3": encoded("PNG", _NOISE, icc_profile=_P3),
    "broken profile": encoded("PNG", _NOISE, icc_profile=_P3[:300]),
    "HDR": profiles.png_with(_NOISE, profiles.cicp(9, 16, 0, 1)),
    "linear light": profiles.png_with(_NOISE, profiles.gama(1.0)),
    "small": encoded("PNG", Image.new("RGB", (8, 90))),
    "truncated": encoded("PNG", _NOISE)[:400],
    "truncated JPEG": encoded("JPEG", _NOISE)[:300],
    "empty": b"",
    "text": b"not an image",
    "animation": encoded("PNG", Image.new("RGB", (64, 64)), **_FRAMES),
    "animated WebP": encoded("WEBP", Image.new("RGB", (64, 64)), **_FRAMES),
    "GIF": encoded("GIF", Image.new("RGB", (64, 64))),
    "TIFF": encoded("TIFF", Image.new("RGB", (64, 64))),
}
WHOLE = ("PNG", "JPEG", "WebP", "BMP", "grey", "palette", "alpha", "16 bits", "CMYK", "Display P3", "linear light")
CAPTIONS = [
    b"a cat",
    b"a black cat, sitting",
    "ein Kätzchen".encode(),
    b"\xef\xbb\xbfa cat",
    "a cat".encode("utf-16"),
    b"",
    b" \n",
    "café".encode("cp1252"),
    "猫".encode("cp932"),
    "caf\ufffd".encode(),
    b"a\0b",
    b"a\x1b[2J",
    b"cat " * 2000,
    "a \u202ekcab".encode(),
    b"one\r\ntwo",
    b"\xed\xa0\x80",
    b"\xff\xfe\xff",
]
LITTER = [
    b"._a.png",
    b".DS_Store",
    b"Thumbs.db",
    b"desktop.ini",
    b"a.npz",
    b"a_0064x0064_sd.npz",
    b".directory",
    b"~$a.txt",
    b"a.txt~",
    b".ipynb_checkpoints/a-checkpoint.png",
    b"@eaDir/a.png/T.png",
    b"__MACOSX/._b.png",
    b".thumbnails/b.png",
    b"$RECYCLE.BIN/b.png",
]
OTHERS = [
    b"README.md",
    b"notes.pdf",
    b"a.gif",
    b"x.zip",
    b"captions.csv",
    b"metadata.json1",
    b"model.ckpt",
    b"parts.jsonl",
    b"source.json",
]
FOLDERS = ["", "", "", "sub", "deep/er", "img/10_sks cat", "10_sks cat", "0_never", "reg/1_cat", "train", "test", "日本", "a b"]
STEMS = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "A",
        "photo-train-02",
        "x y",
        "é",
        unicodedata.normalize("NFD", "é"),
        "猫",
        "-rf",
        "..",
        "1.5",
        "a.b",
        "[x]",
        "*",
        "%s",
        "con",
        ".hidden",
        "train",
        "metadata",
        "readme",
        "x" * 120,
        "tab\there",
        "line\nbreak",
        "\x1b[2J",
        "a\u202eb",
        "back\\slash",
        "🐉",
    ]
) | st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)
SUFFIXES = st.sampled_from(
    [".png", ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".PNG", ".JPG", ".gif", ".png.jpg", ".tiff"]
)


@st.composite
def folders(draw: st.DrawFn) -> list[Entry]:
    """Up to eight images, most of them whole and with captions, and what else lies there."""
    entries: list[Entry] = []
    places = st.sampled_from(draw(st.lists(st.sampled_from(FOLDERS), min_size=1, max_size=3)))
    names: list[str] = []
    for _ in range(draw(st.integers(0, 8))):
        place, stem, suffix = draw(places), draw(STEMS), draw(SUFFIXES)
        if stem in (".", ".."):
            stem = "dots"
        path = os.path.join(place, stem)
        content = CONTENTS[draw(st.sampled_from(WHOLE) | st.sampled_from(list(CONTENTS)))]
        entries.append(Entry(os.fsencode(path + suffix), content))
        names.append(path + suffix)
        if draw(st.integers(0, 9)):
            ending = draw(st.sampled_from([".txt", ".txt", ".txt", ".caption", ".TXT"]))
            entries.append(Entry(os.fsencode(path + ending), draw(st.just(CAPTIONS[0]) | st.sampled_from(CAPTIONS))))
    for name in draw(st.lists(st.sampled_from(LITTER), max_size=2)) + draw(st.lists(st.sampled_from(OTHERS), max_size=1)):
        entries.append(Entry(name, draw(st.sampled_from([b"x", CONTENTS["PNG"], b""]))))
    if not draw(st.integers(0, 3)):
        entries.append(draw(tables(names)))
    if not draw(st.integers(0, 5)):
        entries.append(draw(st.sampled_from(ODDITIES)))
    return entries


ODDITIES = [
    Entry(b"caf\xe9.png", CONTENTS["PNG"]),
    Entry(b"\x83C.txt", b"a"),
    Entry(b"folder.png", None),
    Entry(b"folder.txt", None),
    Entry(b"lost.png", b"", "nowhere.png"),
    Entry(b"out.png", b"", "/etc/hostname"),
    Entry(b"out.txt", b"", "/etc/hostname"),
    Entry(b"itself.png", b"", "itself.png"),
    Entry(b"up", b"", ".."),
    Entry(b"empty", None),
]


@st.composite
def tables(draw: st.DrawFn, names: list[str]) -> Entry:
    """A table of captions: whole, of another column, torn, in another encoding, of images that are not there."""
    rows = [(name, draw(st.sampled_from(["one", "two", "", "a, b", "caf\ufffd", "a\x1b[2J"]))) for name in names]
    rows += draw(st.sampled_from([[], [], [("gone.png", "three")], [("../a.png", "three")], [("", "three")]]))
    column = draw(st.sampled_from(["text", "caption", "prompt", "Text", "words"]))
    name = draw(st.sampled_from(["metadata.jsonl", "metadata.csv", "metadata.json", "meta_cap.json", "metadata.parquet"]))
    if name.endswith(".jsonl"):
        text = "".join(json.dumps({"file_name": file, column: said}) + "\n" for file, said in rows)
    elif name.endswith(".json"):
        text = json.dumps({file: {column: said} for file, said in rows})
    else:
        text = f"file_name,{column}\n" + "".join(f'"{file}","{said}"\n' for file, said in rows)
    content = text.encode("utf-8", "surrogateescape")
    torn = draw(st.integers(0, 5))
    content = content[: len(content) // 2] if torn == 0 else text.encode("utf-16") if torn == 1 else content
    return Entry(name.encode(), b"\xef\xbb\xbf" + content if torn == 2 else content)


def write(entries: list[Entry], folder: Path) -> None:
    """Write what can be written, the first of each name."""
    for entry in entries:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + entry.path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry.target:
                path.symlink_to(entry.target)
            elif entry.content is None:
                path.mkdir(exist_ok=True)
            else:
                with path.open("xb") as file:
                    file.write(entry.content)
        except OSError:
            # Another entry is there by this name, or the file system knows no such one.
            continue
