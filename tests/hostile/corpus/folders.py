"""Folders as people have them: litter, tables of captions, sd-scripts' layout, names of every kind."""

from __future__ import annotations

import io
import json
import unicodedata

from hostile.corpus.row import PREPARE, Bring, Captioned, Holds, Refused, Row, Says, files, params, together
from hostile.workplace import Workplace
from PIL import Image

AB = ("creature a", "creature b")
"""The captions of what is in raw already."""

SET = "mine"


def png(color: str = "green") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), color).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "yellow").save(buffer, "JPEG")
    return buffer.getvalue()


def litter(name: str, content: bytes | str = "x") -> Row:
    """A file that nobody means beside the images: it changes nothing, and strict does not stop."""
    return Row(f"litter {name}", files({name: content}), Holds(AB))


def own(contents: dict[str, bytes | str]) -> Bring:
    """A folder of its own, which params.yaml names."""
    return together(files(contents, SET), params(folder=SET))


def table(name: str, text: str | bytes, *, more: dict[str, bytes | str] | None = None) -> Bring:
    """Two images, p and q, in a folder with a table."""
    return own({"p.png": png("red"), "q.png": png("blue"), name: text} | (more or {}))


ONE_TWO = ("one", "two")
ROWS_JSONL = [{"file_name": "p.png", "text": "one"}, {"file_name": "q.png", "text": "two"}]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS_JSONL)
CSV = "file_name,text\np.png,one\nq.png,two\n"


KOHYA: dict[str, bytes | str] = {
    "img/10_sks cat/1.png": png("red"),
    "img/10_sks cat/1.txt": "one",
    "img/3_style/2.png": png("blue"),
    "img/3_style/2.caption": "two",
}


def long_names(place: Workplace) -> None:
    """An image whose name has its accent as a character of its own, and a caption in which it is part of the letter."""
    (place.raw / unicodedata.normalize("NFD", "é.png")).write_bytes(png())
    (place.raw / unicodedata.normalize("NFC", "é.txt")).write_text("an accent")


FETCH = ("dataset", "fetch", SET, "--out", "out")
CHECK = ("dataset", "check", "folder", SET)

ROWS = [
    litter("._a.png", b"\0\x05\x16\x07"),
    litter(".DS_Store"),
    litter("Thumbs.db"),
    litter("desktop.ini"),
    litter(".ipynb_checkpoints/a-checkpoint.png", png()),
    litter("@eaDir/a.png/SYNOFILE_THUMB_M.png", png()),
    litter("__MACOSX/._a.png", b"\0\x05\x16\x07"),
    litter(".thumbnails/a.png", png()),
    litter("a.npz"),
    litter("a_0064x0064_sd.npz"),
    litter("README.md"),
    litter(".gitignore"),
    Row("a note of its owner's", files({"notes.docx": "x"}), Refused("notes.docx is neither an image")),
    Row("a GIF", files({"x.gif": b"GIF89a"}), Refused("x.gif is an image in a format that is not read")),
    Row("a HEIC", files({"x.heic": b"\0\0\0\x18ftypheic"}), Refused("x.heic is an image in a format that is not read")),
    Row("a zip of images", files({"x.zip": b"PK\x03\x04"}), Refused("x.zip is an archive; unpack it")),
    Row("JPEG as .jfif", files({"x.jfif": jpeg(), "x.txt": "a caption"}), Captioned("a caption")),
    Row("JPEG as .JPG", files({"x.JPG": jpeg(), "x.txt": "a caption"}), Captioned("a caption")),
    Row("caption as .caption", files({"x.png": png(), "x.caption": "a caption"}), Captioned("a caption")),
    Row("caption as .TXT", files({"x.png": png(), "x.TXT": "a caption"}), Captioned("a caption")),
    Row("two captions that differ", files({"a.caption": "another"}), Refused("a.png has 2 captions that differ")),
    Row("two captions that agree", files({"a.caption": "creature a"}), Holds(AB)),
    Row("a name in two spellings of Unicode", long_names, Holds((*AB, "an accent"))),
    Row("no caption", files({"x.png": png()}), Refused("x.png has no caption: no x.txt or x.caption in raw")),
    Row("a caption without image", files({"x.txt": "alone"}), Refused("x.txt has no image beside it")),
    Row(
        "two images for one caption",
        files({"a.jpg": jpeg()}),
        Refused("a.jpg has the name of a.png, and one caption would count"),
    ),
    Row("metadata.jsonl", table("metadata.jsonl", JSONL), Holds(ONE_TWO)),
    Row("metadata.jsonl with a byte order mark", table("metadata.jsonl", b"\xef\xbb\xbf" + JSONL.encode()), Holds(ONE_TWO)),
    Row("metadata.csv", table("metadata.csv", CSV), Holds(ONE_TWO)),
    Row(
        "metadata.csv of a spreadsheet",
        table("metadata.csv", b"\xef\xbb\xbf" + CSV.replace(",", ";").replace("\n", "\r\n").encode()),
        Holds(ONE_TWO),
    ),
    Row("metadata.csv with the column caption", table("metadata.csv", CSV.replace("text", "caption")), Holds(ONE_TWO)),
    Row("metadata.csv with the column prompt", table("metadata.csv", CSV.replace("text", "Prompt")), Holds(ONE_TWO)),
    Row("metadata.parquet that is none", table("metadata.parquet", b"PAR1"), Refused("metadata.parquet ")),
    Row(
        "meta_cap.json of sd-scripts",
        table("meta_cap.json", json.dumps({"p": {"caption": "one"}, "q": {"caption": "two"}})),
        Holds(ONE_TWO),
    ),
    Row(
        "a table with an unknown column",
        table("metadata.csv", CSV.replace("text", "words")),
        Refused("metadata.csv has no column of captions"),
    ),
    Row(
        "a table in cp1252",
        table("metadata.csv", CSV.replace("one", "caf\xe9").encode("cp1252")),
        Refused("metadata.csv is not UTF-8 text"),
    ),
    Row("a table that is torn", table("metadata.jsonl", JSONL[:-9]), Refused("metadata.jsonl is not JSON lines")),
    Row(
        "a row for an image that is not there",
        table("metadata.csv", CSV + "r.png,three\n"),
        Refused("metadata.csv, row 3 names 'r.png', which is no image there"),
    ),
    Row(
        "an image without a row",
        table("metadata.csv", CSV, more={"r.png": png()}),
        Refused("r.png has no caption: no r.txt or r.caption in mine, and no row in metadata.csv"),
    ),
    Row("a table under an unread name", table("captions.csv", CSV), Refused("captions.csv there is not read")),
    Row("a table with a typing error in its name", table("metadata.json1", JSONL), Refused("metadata.json1 there is not read")),
    Row(
        "a table that reaches out",
        table("metadata.csv", "file_name,text\n../raw/a.png,one\n"),
        Refused("a path below its folder, got '../raw/a.png'"),
    ),
    Row(
        "U+FFFD in a table",
        table("metadata.csv", CSV.replace("one", "caf\ufffd")),
        Refused("p.png has a caption in metadata.csv that holds U+FFFD at position 4"),
    ),
    Row("kohya's folders", own(KOHYA), Holds(ONE_TWO, ("repeats (3, 10) left out",))),
    Row(
        "kohya's folders, the one above named",
        together(own(KOHYA), params(folder=f"{SET}/img")),
        Holds(ONE_TWO, ("repeats (3, 10) left out",)),
    ),
    Row(
        "kohya's folders with regularisation",
        own(KOHYA | {"reg/1_cat/3.png": png(), "reg/1_cat/3.txt": "a cat"}),
        Holds(ONE_TWO, ("1 regularisation image(s) left out: reg/1_cat",)),
    ),
    Row(
        "kohya's class tokens",
        own({"10_sks cat/1.png": png("red"), "10_sks cat/2.png": png("blue"), "10_sks cat/2.txt": "two"}),
        Holds(("sks cat", "two"), ("1 image(s) without a caption take their folder's: 'sks cat'",)),
    ),
    Row(
        "kohya's folder of 0 repeats",
        own(KOHYA | {"img/0_never/3.png": png(), "img/0_never/3.txt": "three"}),
        Holds(ONE_TWO, ("1 image(s) of 0 repeats left out: img/0_never",)),
    ),
    Row(
        "an image outside of kohya's folders",
        own(KOHYA | {"img/3.png": png(), "img/3.txt": "three"}),
        Refused("img/3.png lies in no folder named like 10_name"),
    ),
    Row("kohya's caches", own(KOHYA | {"img/10_sks cat/1_0064x0064_sd.npz": "x", "img/meta_lat.npz": "x"}), Holds(ONE_TWO)),
    Row(
        "splits as folders",
        own(
            {
                "train/p.png": png("red"),
                "train/p.txt": "one",
                "train/q.png": png("blue"),
                "train/q.txt": "two",
                "test/r.png": png(),
                "test/r.txt": "three",
            }
        ),
        Holds(ONE_TWO, ("1 image(s) of the split test left out",)),
    ),
    Row(
        "a split's name in a file's name",
        own({"photo-train-02.png": png("red"), "photo-train-02.txt": "one", "q.png": png("blue"), "q.txt": "two"}),
        Holds(ONE_TWO),
    ),
    Row(
        "the same, fetched",
        own({"photo-train-02.png": png("red"), "photo-train-02.txt": "one", "q.png": png("blue"), "q.txt": "two"}),
        Says("2 images in out; 0 problem(s)"),
        (*FETCH, "--strict"),
    ),
    Row(
        "cp1252, fetched",
        own({"p.png": png("red"), "p.txt": b"caf\xe9", "q.png": png("blue"), "q.txt": "two"}),
        Says("p.txt is not UTF-8 text"),
        FETCH,
    ),
    Row(
        "cp932, checked",
        own({"p.png": png("red"), "p.txt": "猫".encode("cp932"), "q.png": png("blue"), "q.txt": "two"}),
        Says("p.txt is not UTF-8 text"),
        CHECK,
    ),
    Row(
        "cp932, with strict",
        own({"p.png": png("red"), "p.txt": "猫".encode("cp932"), "q.png": png("blue"), "q.txt": "two"}),
        Refused("p.txt is not UTF-8 text"),
        PREPARE,
    ),
    Row(
        "a broken profile, fetched",
        own({"p.png": png("red").replace(b"IDAT", b"IDAX"), "p.txt": "one", "q.png": png("blue"), "q.txt": "two"}),
        Says("p.png cannot be read as an image"),
        FETCH,
    ),
    Row("one image", own({"p.png": png(), "p.txt": "one"}), Refused("mine holds one image; put at least 2 there")),
    Row(
        "an empty folder",
        lambda place: ((place.root / SET).mkdir(), place.set(folder=SET)),
        Refused("mine holds no image; put at least 2"),
    ),
    Row("no folder", params(folder="nowhere"), Refused("nowhere")),
]
