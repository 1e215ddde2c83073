"""What is computed in blocks, or from some of a set, against the same computed whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save

from pipeline.core import distances
from pipeline.core.tensors import load_tensors, save_tensors
from pipeline.measure.sets import drawn_rows, of_prompts
from pipeline.methods.measures import frechet
from pipeline.methods.measures.entropy import entropy
from pipeline.methods.measures.neighbours import share_inside
from pipeline.methods.selection import greedy, starting_threshold

KINDS = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
         torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2]  # fmt: skip


def points(seed: int, count: int, width: int = 12) -> np.ndarray:
    return (5.0 + np.random.default_rng(seed).standard_normal((count, width))).astype(np.float32)


def test_the_frechet_distance_of_many_images_is_that_of_their_covariances(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.linalg

    monkeypatch.setattr(frechet, "_ROWS", 64)
    generated, real = points(0, 1000), points(1, 700) * np.linspace(0.5, 2.0, 12, dtype=np.float32)
    covariances = [np.cov(x.astype(np.float64), rowvar=False) for x in (generated, real)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    means = np.square(generated.mean(0, dtype=np.float64) - real.mean(0, dtype=np.float64)).sum()
    expected = means + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet.frechet_distance(generated, real) == pytest.approx(expected, rel=1e-9)


def test_many_images_against_few_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    generated, real = points(2, 400), points(3, 7)
    whole = frechet.frechet_distance(generated, real)
    monkeypatch.setattr(frechet, "_ROWS", 32)
    assert frechet.frechet_distance(generated, real) == pytest.approx(whole, rel=1e-9)


def test_points_that_are_centred_as_they_are_needed_have_the_same_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    generated, real = points(4, 1300), points(5, 1100)
    real[:50] = generated[:50]

    def found() -> list[object]:
        picks = greedy(generated, 200, np.random.default_rng(0), real[:90]).tolist()
        shares = share_inside(generated, real), share_inside(real, generated)
        return [picks, starting_threshold(generated, 0.5), *shares, entropy(generated)]

    whole = found()
    monkeypatch.setattr(distances, "_CENTRED_ROWS", 0)
    assert found() == whole


def test_a_small_set_is_taken_whole_and_a_large_one_by_as_many_as_asked_for() -> None:
    assert drawn_rows(7, 7).tolist() == list(range(7))
    chosen = drawn_rows(1000, 100)
    assert len(set(chosen.tolist())) == 100 and sorted(chosen.tolist()) == chosen.tolist()
    assert drawn_rows(1000, 100).tolist() == chosen.tolist()
    assert 400 < chosen.mean() < 600


def test_every_image_of_a_chosen_prompt_is_taken() -> None:
    assert of_prompts([3, 1, 3, 2, 9], [3, 9]).tolist() == [0, 2, 4]


def test_recall_of_some_prompts_is_near_that_of_all() -> None:
    real, generated = points(6, 4000, 3), points(7, 4000, 3)[:, :]
    generated[:, 0] = np.minimum(generated[:, 0], 5.0)
    rows = drawn_rows(4000, 1000)
    whole, part = (
        (share_inside(drawn, other), share_inside(other, drawn))
        for drawn, other in ((generated, real), (generated[rows], real[rows]))
    )
    assert part == pytest.approx(whole, abs=0.08)


@pytest.mark.parametrize("metadata", [None, {"b": "2", "a": "1"}], ids=["bare", "with metadata"])
def test_tensors_of_every_kind_are_laid_out_as_the_library_does(tmp_path, metadata) -> None:
    tensors = {f"{name}{i}": torch.arange(3 * i + 1).to(kind) for i, kind in enumerate(KINDS) for name in ("b", "a")}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "strided": torch.arange(12.0).reshape(3, 4).T}
    save_tensors(tmp_path / "x.safetensors", tensors, metadata)
    content = (tmp_path / "x.safetensors").read_bytes()
    theirs = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    mine_start, their_start = (8 + int.from_bytes(text[:8], "little") for text in (content, theirs))
    assert content[mine_start:] == theirs[their_start:]
    loaded, found = load_tensors(tmp_path / "x.safetensors")
    assert found == (metadata or {}) and loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype and loaded[name].shape == tensor.shape
        assert torch.equal(loaded[name].double(), tensor.double())
