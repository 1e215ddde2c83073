"""Captions that attack whatever reads them next: refused in one sentence, or kept to the letter."""

from __future__ import annotations

import pytest
from hostile.workplace import Workplace

from pipeline.core.json_files import read_jsonl

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


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=list(REFUSED))
def test_a_bad_caption_is_named_and_the_work_done_stays(place: Workplace, content: bytes, sentence: str) -> None:
    (place.raw / "a.txt").write_bytes(content)
    assert sentence in place.refused("prepare")


def test_a_caption_that_is_a_folder_is_named(place: Workplace) -> None:
    (place.raw / "a.txt").unlink()
    (place.raw / "a.txt").mkdir()
    assert "a.txt is a folder, though it is named as a caption" in place.refused("prepare")


KEPT = [
    "a 🐉 creature 👩‍👩‍👧 with é̂ accents",
    'quotes " and \' and """ and \'\'\' and \\" and \\x41 \\u0041',
    'x" ]\n[[datasets]]\nbatch_size = 1 # comment',
    "</script><img src=x onerror=alert(1)> {{ 7 * 7 }} {% raw %}",
    "$(touch owned) `touch owned` ; touch owned | & > owned",
    "--output_dir=/tmp/owned -x",
    "(weighted:1.5) [brackets] <lora:evil:1>",
    "مرحبا abc 图像",
    "%s %d {0} {name} ${model}",
]


def test_captions_are_kept_to_the_letter_but_for_spaces(place: Workplace) -> None:
    for i, caption in enumerate(KEPT):
        (place.raw / f"a{i}.txt").write_text(caption, encoding="utf-8")
        (place.raw / f"a{i}.png").write_bytes((place.raw / "a.png").read_bytes())
    place.run("prepare")
    found = [row["prompt"] for row in read_jsonl(place.root / "data/prompts.jsonl")]
    assert found == ["creature a", *(" ".join(caption.split()) for caption in KEPT), "creature b"]
    assert found == [row["prompt"] for row in read_jsonl(place.root / "data/D_0/manifest.jsonl")]
    assert not list(place.root.rglob("*owned*"))
