"""Caption files of every encoding, and captions that attack whatever reads them next."""

from __future__ import annotations

from hostile.corpus.row import Bring, Captioned, Refused, Row, files, params, together
from hostile.workplace import Workplace

TOO_LONG = "a.txt is longer than the 5,000 characters that a caption may have"
REFUSED = {
    "empty": (b"", "a.txt is empty: every image needs a caption"),
    "blank": (b" \n\t\r\n ", "a.txt is empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", "a.txt is empty"),
    "only odd spaces": ("\u2003\u3000\u2028\n".encode(), "a.txt is empty"),
    "10,000 words": (b"creature " * 10_000, TOO_LONG),
    "one word of 6,000 letters": (b"a" * 6_000, TOO_LONG),
    "Latin-1": (b"caf\xe9", "a.txt is not UTF-8 text"),
    "UTF-16 without its mark": ("a creature".encode("utf-16-le"), "a.txt holds the control character U+0000 at position 2"),
    "an image": (b"\x89PNG\r\n\x1a\n", "a.txt is not UTF-8 text"),
    "NUL": (b"a\0b", "a.txt holds the control character U+0000 at position 2"),
    "escape sequence": (b"red \x1b[2Jcreature", "a.txt holds the control character U+001B at position 5"),
    "bell": (b"ding\x07", "a.txt holds the control character U+0007 at position 5"),
    "backspaces": (b"a\x08\x08b", "a.txt holds the control character U+0008 at position 2"),
    "delete": (b"a\x7f", "a.txt holds the control character U+007F at position 2"),
    "text turned around": (
        "a \u202ekcab".encode(),
        "a.txt holds the invisible character U+202E at position 3, which turns text around",
    ),
    "text set apart": ("a\u2067b".encode(), "a.txt holds the invisible character U+2067 at position 2"),
    "escape in one character": ("a\x9b2J".encode(), "a.txt holds the control character U+009B at position 2"),
    "half of a surrogate pair": (b"\xed\xa0\x80", "a.txt is not UTF-8 text"),
}


TAKEN: dict[str, tuple[bytes, str]] = {
    "UTF-8": ("ein Kätzchen".encode(), "ein Kätzchen"),
    "UTF-8 with its mark": ("ein Kätzchen".encode("utf-8-sig"), "ein Kätzchen"),
    "UTF-16 with its mark": ("ein Kätzchen".encode("utf-16"), "ein Kätzchen"),
    "several lines of Windows": (b"a cat,\r\n  black\r\n", "a cat, black"),
    "emoji": ("🐉 👩‍👩‍👧".encode(), "🐉 👩‍👩‍👧"),
    "weights and tags": (b"(weighted:1.5) [brackets] <lora:evil:1>", "(weighted:1.5) [brackets] <lora:evil:1>"),
    "TOML": (b'x" ]\n[[datasets]] # comment', 'x" ] [[datasets]] # comment'),
}

REFUSED |= {
    "cp1252": ("“quoted”".encode("cp1252"), "a.txt is not UTF-8 text"),
    "cp932": ("猫の絵".encode("cp932"), "a.txt is not UTF-8 text"),
    "U+FFFD": ("caf\ufffd".encode(), "a.txt holds U+FFFD at position 4"),
}


def _beside_a(content: bytes) -> Bring:
    return files({"a.txt": content})


def _folder(place: Workplace) -> None:
    (place.raw / "a.txt").unlink()
    (place.raw / "a.txt").mkdir()


ROWS = [Row(f"caption: {name}", _beside_a(content), Refused(said)) for name, (content, said) in REFUSED.items()]
ROWS += [Row(f"caption: {name}", _beside_a(content), Captioned(text, "a")) for name, (content, text) in TAKEN.items()]
ROWS += [
    Row("caption: 4,999 letters", _beside_a(b"a" * 4_999), Refused("more than max_token_length 75")),
    Row(
        "caption: 4,999 letters, to be cut",
        together(_beside_a(b"a" * 4_999), params(cut_captions=True)),
        Captioned("a" * 4_999, "a"),
    ),
    Row("caption: a folder", _folder, Refused("a.txt is a folder, though it is named as a caption")),
]
