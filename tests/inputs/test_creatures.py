"""The drawn world: every attribute can be seen, captions name them, drawings repeat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.inputs.creature_drawing import draw
from pipeline.inputs.creatures import ATTRIBUTES, CAPTION_FORMS, Creature, caption, distinct_creatures, random_creature
from pipeline.miniature.drawings import make_drawings

PLAIN = Creature("round", "red", "two", "blue", "cat ears", "long tail", "plain", "sky", "outlined")


def test_a_drawing_repeats_and_fills_the_format() -> None:
    assert draw(PLAIN).shape == (64, 64, 3)
    np.testing.assert_array_equal(draw(PLAIN), draw(replace(PLAIN)))


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_each_value_of_each_attribute_changes_at_least_30_pixels_clearly(attribute: str) -> None:
    drawings = [draw(replace(PLAIN, **{attribute: value})).astype(int) for value in ATTRIBUTES[attribute]]
    for i, one in enumerate(drawings):
        for other in drawings[:i]:
            assert (np.abs(one - other).max(axis=2) > 40).sum() >= 30


@pytest.mark.parametrize("form", ["full", "tags", "long"])
def test_a_complete_caption_names_every_value(form: str) -> None:
    words = caption(PLAIN, form)
    for name in ATTRIBUTES:
        assert getattr(PLAIN, name) in words


def test_complete_captions_tell_any_two_creatures_apart() -> None:
    captions = [caption(creature) for creature in distinct_creatures(5, 500)]
    assert len(set(captions)) == 500


def test_an_unknown_form_is_refused() -> None:
    assert "short" in CAPTION_FORMS
    with pytest.raises(ValueError, match="form must be one of"):
        caption(PLAIN, "sonnet")


def test_the_narrow_style_is_drawn_only_on_request() -> None:
    rng = np.random.default_rng(0)
    assert {random_creature(rng).style for _ in range(200)} == {"flat", "outlined", "shaded", "pastel"}
    assert {random_creature(rng).background for _ in range(200)}.isdisjoint({"paper"})
    assert random_creature(rng, style="inkpress").background == "paper"


def test_attributes_are_drawn_evenly_and_the_data_hash_follows_the_seed() -> None:
    drawings = make_drawings(0, 400, narrow_share=0.25)
    shares = np.bincount(drawings.labels[:, 0].numpy(), minlength=5) / 400
    assert np.abs(shares - 0.2).max() < 0.08
    narrow = (drawings.labels[:, -1] == 4).float().mean()
    assert abs(float(narrow) - 0.25) < 0.09
    assert (
        drawings.sha256()
        == make_drawings(0, 400, narrow_share=0.25).sha256()
        != make_drawings(1, 400, narrow_share=0.25).sha256()
    )
