"""BLIP's text keeps its window whatever the model wants to say: tried on small random models of the real class."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_captioners import VOCABULARY, network, processor, write_blip

from pipeline.core.errors import UserError
from pipeline.inputs.captions.blip import Blip, LengthWindow, load_blip, tidy, word_tables
from pipeline.inputs.captions.rules import MIDDLE, SHORT, Window, count_words


def pictures(count: int) -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 256, (count, 24, 30, 3), dtype=np.uint8)
    return [Image.fromarray(pixels) for pixels in noise]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BLIP as save_pretrained leaves it."""
    return write_blip(tmp_path_factory.mktemp("blip"))


@pytest.mark.parametrize("window", [SHORT, MIDDLE, Window(7, 7)], ids=lambda window: window.label)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_text_is_as_long_as_its_window_says(tmp_path: Path, seed: int, window: Window) -> None:
    texts = Blip(network(seed), processor(tmp_path), "cpu").caption(pictures(3), window)
    assert [window.fits(count_words(text)) for text in texts] == [True] * 3, texts


def test_a_model_from_a_folder_says_the_same_in_batches_and_one_at_a_time(folder: Path) -> None:
    blip = load_blip(folder, "cpu")
    images = pictures(3)
    together = blip.caption(images, SHORT)
    assert together == [blip.caption([image], SHORT)[0] for image in images]
    assert together == Blip(network(0), processor(folder), "cpu").caption(images, SHORT)


def test_a_folder_that_is_no_blip_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="nowhere is no folder"):
        load_blip(tmp_path / "nowhere", "cpu")
    with pytest.raises(UserError, match="cannot load a BLIP from"):
        load_blip(tmp_path, "cpu")


def limits(window: Window, before: int, ids: list[int]) -> set[int]:
    """Token ids that may follow `ids`, of: 0 end, 1 a word, 2 another word, 3 the end of a word, 4 a comma."""
    begins = torch.tensor([False, True, True, False, False])
    continues = torch.tensor([False, False, False, True, False])
    scores = LengthWindow(window, begins, continues, 0, before)(torch.tensor([ids]), torch.zeros(1, 5))
    return {i for i, score in enumerate(scores[0].tolist()) if score == 0.0}


def test_the_end_is_barred_before_the_least_and_further_words_after_the_most() -> None:
    window = Window(2, 3)
    assert limits(window, 1, [1, 1, 3]) == {1, 2, 3, 4}
    assert limits(window, 1, [1, 1, 2]) == {0, 1, 2, 3, 4}
    assert limits(window, 1, [1, 1, 2, 1]) == {0, 3}


def test_a_word_is_not_gone_on_with_at_the_start_or_after_a_comma() -> None:
    assert limits(Window(2, 3), 1, [1]) == {1, 2, 4}
    assert limits(Window(2, 3), 1, [1, 1, 2, 4]) == {0, 1, 2, 4}


def test_in_tokens_bos_and_prompt_count_as_in_blips_own_options() -> None:
    window = Window(4, 6, "tokens")
    assert limits(window, 2, [1, 1, 2]) == {1, 2, 3, 4}
    assert limits(window, 2, [1, 1, 2, 4]) == {0, 1, 2, 4}
    assert limits(window, 2, [1, 1, 2, 4, 3, 1]) == {0}


def test_words_of_a_text_are_those_that_its_tokens_begin(tmp_path: Path) -> None:
    tokenizer = processor(tmp_path).tokenizer
    begins, continues = word_tables(tokenizer, len(VOCABULARY))
    text = "a red cat, two dogs - near houses"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert int(begins[ids].sum()) == count_words(text) == 7
    assert int(continues[ids].sum()) == 2
    assert not (begins & continues).any() and not begins[:5].any()


@pytest.mark.parametrize(
    ("decoded", "expected"),
    [("a cat , a dog .", "a cat, a dog"), ("it ' s a t - shirt", "it's a t-shirt"), (", a  cat ,", "a cat")],
)
def test_decoded_pieces_become_a_line_as_people_write_it(decoded: str, expected: str) -> None:
    assert tidy(decoded) == expected
