"""How far a file that was made again is from the record."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.files import write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.core.json_files import write_json, write_jsonl
from pipeline.core.tensors import save_tensors
from pipeline.provenance.verify.comparison import Comparer, Comparison, Tolerance, psnr, relative_distance, with_features

GREY = np.full((8, 8, 3), 100, dtype=np.uint8)
TOLERANCE = Tolerance(psnr=30.0, distance=0.1)


def compared(folder: Path, name: str, write: object, recorded: object, again: object) -> Comparison:
    for place, content in (("recorded", recorded), ("again", again)):
        write(folder / place / name, content)  # type: ignore[operator]
    (found,) = Comparer(folder / "recorded", folder / "again", TOLERANCE).files(name)
    return found


@pytest.mark.parametrize("apart", [1, 5, 155])
def test_psnr_of_a_constant_difference_is_its_closed_form(apart: int) -> None:
    assert psnr(GREY, GREY + np.uint8(apart)) == pytest.approx(20 * math.log10(255 / apart))


def test_relative_distance_is_0_for_equal_and_1_for_doubled_vectors() -> None:
    vector = np.array([3.0, 4.0])
    assert relative_distance(vector, vector) == 0.0
    assert relative_distance(2 * vector, vector) == pytest.approx(1.0)
    assert relative_distance(vector, 0 * vector) == math.inf


@pytest.mark.parametrize(("apart", "holds"), [(0, True), (3, True), (20, False)])
def test_an_image_holds_by_its_psnr(tmp_path: Path, apart: int, holds: bool) -> None:
    def write(path: Path, pixels: np.ndarray) -> None:
        write_bytes(path, encode_png(pixels, {"from": path.parent.name}))

    found = compared(tmp_path, "a.png", write, GREY, GREY + np.uint8(apart))
    assert not found.equal  # the text differs
    assert (found.holds, found.measured["max_level"]) == (holds, apart)
    assert (found.measured["psnr"] is None) == (apart == 0)


def test_an_image_of_another_size_does_not_hold(tmp_path: Path) -> None:
    found = compared(tmp_path, "a.png", lambda path, pixels: write_bytes(path, encode_png(pixels)), GREY, GREY[:4])
    assert not found.holds and "8x4" in found.problem


@pytest.mark.parametrize(("factor", "holds"), [(1.05, True), (1.5, False)])
def test_tensors_hold_by_their_relative_distance(tmp_path: Path, factor: float, holds: bool) -> None:
    tensors = {"a": torch.arange(4.0), "b": torch.ones(2, 2)}
    changed = {name: factor * tensor for name, tensor in tensors.items()}
    found = compared(tmp_path, "a.safetensors", save_tensors, tensors, changed)
    assert found.holds == holds
    assert found.measured["distance"] == pytest.approx(factor - 1, rel=1e-5)


@pytest.mark.parametrize(("wrong", "distance"), [("up", 1.0), ("down", 1.0), ("alpha", 1.0), ("none", 0.0)])
def test_a_lora_is_compared_by_what_it_adds_to_the_weights(tmp_path: Path, wrong: str, distance: float) -> None:
    parts = {"alpha": "alpha", "down": "lora_down.weight", "up": "lora_up.weight"}
    draw = torch.Generator().manual_seed(0)
    small = {
        "up": 1e-3 * torch.randn(6, 2, generator=draw),
        "down": torch.randn(2, 5, generator=draw),
        "alpha": torch.tensor(8.0),
    }
    doubled = {part: 2 * tensor if part == wrong else tensor for part, tensor in small.items()}
    if wrong == "none":  # another pair of halves with the same product
        turn = torch.tensor([[2.0, 1.0], [1.0, 1.0]])
        doubled |= {"up": small["up"] @ turn, "down": torch.linalg.inv(turn) @ small["down"]}
    named = [{f"unet_a.{parts[part]}": tensor for part, tensor in tensors.items()} for tensors in (small, doubled)]
    found = compared(tmp_path, "lora.safetensors", save_tensors, *named)
    assert found.measured["distance"] == pytest.approx(distance, abs=1e-5)
    assert found.holds == (wrong == "none")


def test_losses_are_compared_step_by_step(tmp_path: Path) -> None:
    near = compared(tmp_path / "near", "loss.csv", write_text, "step,loss\n1,0.5\n2,0.25\n", "step,loss\n1,0.5\n2,0.26\n")
    assert near.holds and near.measured["max"] == pytest.approx(0.01)
    shorter = compared(tmp_path / "shorter", "loss.csv", write_text, "step,loss\n1,0.5\n2,0.25\n", "step,loss\n1,0.5\n")
    assert not shorter.holds and "1 steps, recorded are 2" in shorter.problem


def test_a_record_may_differ_by_its_machine_and_by_hashes_of_what_is_compared_itself_alone(
    tmp_path: Path,
) -> None:
    row = {"file": "00000.png", "prompt": "a cat", "sha256": "1" * 64}
    assert compared(tmp_path / "a", "manifest.jsonl", write_jsonl, [row], [row | {"sha256": "2" * 64}]).holds
    assert not compared(tmp_path / "b", "manifest.jsonl", write_jsonl, [row], [row | {"prompt": "a dog"}]).holds
    record = {"steps": 10, "lora_sha256": "1" * 64}
    assert compared(tmp_path / "c", "lineage.json", write_json, record, record | {"lora_sha256": "2" * 64}).holds
    assert not compared(tmp_path / "d", "lineage.json", write_json, record, record | {"steps": 11}).holds
    assert compared(tmp_path / "e", "lineage.json", write_json, record, record | {"made_on": {"device": "another"}}).holds


def test_a_file_that_was_not_made_again_does_not_hold(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "a")
    (found,) = Comparer(tmp_path, tmp_path / "none", TOLERANCE).files("a.txt")
    assert not found.holds


def test_features_too_far_apart_refuse_an_image_that_its_psnr_let_pass() -> None:
    images = [Comparison(name, False, True, "", {"max_level": 2, "psnr": 50.0}) for name in ("near", "far")]
    near, far = with_features(images, {"near": 0.05, "far": 0.2}, TOLERANCE)
    assert near.holds and near.measured["feature_distance"] == 0.05
    assert not far.holds and "feature distance" in far.problem
