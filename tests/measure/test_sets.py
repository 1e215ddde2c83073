from pathlib import Path

import numpy as np
import pytest
import torch

from chains import write_chain
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl, write_jsonl
from pipeline.core.tensors import save_tensors
from pipeline.measure.sets import training_features


@pytest.fixture
def chain(tmp_path: Path) -> Layout:
    """Each feature says which image it belongs to: [k, prompt, image]."""
    layout = write_chain(tmp_path, iterations=2, prompts=4, images_per_prompt=2)
    for k in range(3):
        rows = read_jsonl(layout.manifest(k))
        _write_features(layout, k, [[k, row["prompt_index"], row["image_index"]] for row in rows])
    return layout


def _write_features(layout: Layout, k: int, rows: list[list[int]]) -> None:
    save_tensors(layout.features(k), {"image": torch.tensor(rows, dtype=torch.float32)})


def test_rows_come_from_the_set_and_image_that_t_k_names(chain: Layout) -> None:
    rows = [*read_jsonl(chain.training_set(2))[::-1], *read_jsonl(chain.training_set(1))]
    chosen = [rows[i] for i in (9, 0, 5, 9, 2)]
    write_jsonl(chain.training_set(2), chosen)
    expected = [[row["k"], row["prompt_index"], row["image_index"]] for row in chosen]
    np.testing.assert_array_equal(training_features(chain, 2, 3), expected)
    assert {row["k"] for row in chosen} == {0, 1}


def test_features_that_are_missing_are_named(chain: Layout) -> None:
    chain.features(1).unlink()
    with pytest.raises(UserError, match=r"features/1\.safetensors, the features of D_1, does not exist"):
        training_features(chain, 2, 3)


def test_features_of_another_number_of_images_are_refused(chain: Layout) -> None:
    _write_features(chain, 1, [[1, 0, 0]] * 7)
    with pytest.raises(UserError, match=r"features/1\.safetensors has the shape \[7, 3\], not \[8, dimensions\]"):
        training_features(chain, 2, 3)


def test_features_of_another_width_are_refused(chain: Layout) -> None:
    with pytest.raises(UserError, match="have 3 dimensions, but those of D_2 have 5"):
        training_features(chain, 2, 5)


def test_an_image_that_its_set_does_not_have_is_named(chain: Layout) -> None:
    rows = read_jsonl(chain.training_set(1))
    write_jsonl(chain.training_set(1), [*rows, rows[0] | {"image_index": 6}])
    with pytest.raises(UserError, match="D_0/manifest.jsonl lacks image 6 of prompt 0, which a training set names"):
        training_features(chain, 1, 3)


def test_an_empty_training_set_is_told(chain: Layout) -> None:
    with pytest.raises(UserError, match="T_0.jsonl lists no images"):
        training_features(chain, 0, 3)
