"""The WD tagger's input, labels and thresholds, through onnxruntime itself on a network of three weights."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small_captioners import LABELS, write_network

from pipeline.core.errors import UserError
from pipeline.inputs.captions.tagger import Tagger, in_words, load_tagger, network_input, read_labels


def colour(name: str) -> Image.Image:
    return Image.new("RGB", (16, 16), name)


@pytest.mark.parametrize("batch", ["N", 2], ids=["any batch", "fixed batch"])
def test_each_colour_gets_its_own_tag_in_batches_of_any_size(tmp_path: Path, batch: int | str) -> None:
    pytest.importorskip("onnxruntime")
    tagger = load_tagger(write_network(tmp_path, batch), "cpu")
    found = tagger.tag([colour("red"), colour("blue"), colour("lime")])
    best = [max(tags, key=lambda tag: tag[1]) for tags in found]
    assert [(name, kind) for name, _, kind in best] == [
        ("red (pokemon)", "character"), ("blue sky", "general"), ("green hair", "general"),
    ]  # fmt: skip
    assert best[0][1] == pytest.approx(1 / (1 + np.exp(2 - 255 / 64)), abs=1e-4)
    assert all(name != "sensitive" for tags in found for name, _, _ in tags)


def test_a_network_and_a_list_of_other_lengths_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(UserError, match="gives 3 scores, but selected_tags.csv has 4 rows"):
        load_tagger(write_network(tmp_path, outputs=3), "cpu").tag([colour("red")])


def test_a_damaged_network_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "model.onnx").write_bytes(b"not a network")
    (tmp_path / "selected_tags.csv").write_text(LABELS)
    with pytest.raises(UserError, match="model.onnx cannot be loaded"):
        load_tagger(tmp_path, "cpu")


def test_without_onnxruntime_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "selected_tags.csv").write_text(LABELS)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        load_tagger(tmp_path, "cpu")


def test_a_folder_that_lacks_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no model.onnx"):
        load_tagger(tmp_path, "cpu")


def test_the_network_sees_a_white_square_around_the_image_in_blue_green_red() -> None:
    pixels = network_input(Image.new("RGB", (20, 10), (10, 20, 30)), 8)
    assert pixels.shape == (8, 8, 3) and pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[4, 4], (30, 20, 10))
    np.testing.assert_array_equal(pixels[0, 0], (255, 255, 255))


def test_scores_below_the_floor_are_not_kept_and_padding_rows_are_dropped() -> None:
    class Fixed:
        def get_inputs(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(name="in", shape=[4, 8, 8, 3])]

        def run(self, names: object, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            assert feed["in"].shape == (4, 8, 8, 3)
            return [np.tile(np.array([[0.05, 0.5]], np.float32), (4, 1))]

    found = Tagger(Fixed(), [("faint", "general"), ("clear", "general")]).tag([colour("red")])
    assert found == [(("clear", 0.5, "general"),)]


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("red_eyes", "red eyes"), ("pokemon_(creature)", "pokemon (creature)"), ("^_^", "^_^"), ("|_|", "|_|"),
     ("<o>_<o>", "<o>_<o>"), ("pom_pom_(clothes)", "pom pom (clothes)"), ("yes_yes", "yes yes"), ("solo", "solo")],
)  # fmt: skip
def test_underscores_become_blanks_but_in_faces(tag: str, expected: str) -> None:
    assert in_words(tag) == expected


def test_a_list_of_labels_without_its_columns_is_named(tmp_path: Path) -> None:
    (tmp_path / "selected_tags.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="must have the columns name and category"):
        read_labels(tmp_path / "selected_tags.csv")
