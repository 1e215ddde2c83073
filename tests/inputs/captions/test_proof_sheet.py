"""The page to proof-read: every caption is text, its tokens are CLIP's, and it shows what would be cut."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

import re
from pathlib import Path

import pytest
import raw_sets
from transformers import CLIPTokenizer

from pipeline.core.errors import UserError
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.captions.proof_sheet import clip_counter, cut, write_sheet


def words(text: str) -> int:
    return len(text.split())


def sheet(folder: Path, captions: dict[str, str]) -> str:
    for number, name in enumerate(captions):
        raw_sets.image(folder / f"{name}.png", number, (400, 300))
    rows = [Parts(name, f"{name}.png", "x", caption=text) for name, text in captions.items()]
    write_sheet(folder / "sheet/index.html", "my <set>", folder, rows, captions, words)
    return (folder / "sheet/index.html").read_text()


@pytest.mark.parametrize(
    ("length", "sizes"), [(75, [75, 0, 0, 0]), (76, [75, 1, 0, 0]), (225, [75, 75, 75, 0]), (230, [75, 75, 75, 5])]
)
def test_a_caption_is_cut_where_75_150_and_225_tokens_end(length: int, sizes: list[int]) -> None:
    text = " ".join(f"w{i}" for i in range(length))
    pieces = cut(text, words)
    assert [words(piece) for piece in pieces] == sizes
    assert " ".join(piece for piece in pieces if piece) == text


def test_tokens_of_words_add_up_to_those_of_the_caption(tiny_model: Path) -> None:
    count = clip_counter(tiny_model / "tokenizer")
    text = "a Tall green-creature's (style), 1,000 stripes  — é"
    tokenizer = CLIPTokenizer.from_pretrained(tiny_model / "tokenizer")
    assert count(text) == len(tokenizer(text).input_ids) - 2 == sum(count(word) for word in text.split())
    with pytest.raises(UserError, match="--tokenizer"):
        clip_counter(tiny_model / "nowhere")


def test_the_page_warns_at_each_limit_and_nothing_in_it_is_markup_or_comes_from_elsewhere(tmp_path: Path) -> None:
    captions = {"a": "<script>alert(1)</script> & more", "b": "x " * 99 + "x", "c": "x " * 160 + "x", "d": "x " * 300 + "x"}
    page = sheet(tmp_path, captions)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page and "<script" not in page and "my &lt;set&gt;" in page
    assert re.search(r"3 longer than 75 tokens,\s+2 longer than 150 tokens,\s+1 longer than 225", page)
    for warning in ("100 tokens, cut at 75<", "161 tokens, cut at 75 and 150<", "301 tokens, cut at 75, 150 and 225<"):
        assert warning in page
    assert not re.search(r"https?:", page) and page.count("data:image/jpeg;base64,") == 4


def test_the_same_captions_give_the_same_page(tmp_path: Path) -> None:
    assert sheet(tmp_path, {"a": "one", "b": "two"}) == sheet(tmp_path, {"a": "one", "b": "two"})
