"""Equal content means equal bytes, and a write that fails leaves what was there."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pipeline.chain.paths import Layout, image_name, sd_scripts
from pipeline.core import files, images, json_files, tensors
from pipeline.core.errors import UserError
from pipeline.core.files import project_root
from pipeline.core.randomness import derive_seed, image_seed


def test_safetensors_bytes_do_not_depend_on_order(tmp_path: Path) -> None:
    saved = {name: torch.randn(3, 2) for name in "cab"}
    tensors.save_tensors(tmp_path / "1", saved, {"b": "1", "a": "2"})
    tensors.save_tensors(tmp_path / "2", dict(sorted(saved.items())), {"a": "2", "b": "1"})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert all(torch.equal(value, saved[name]) for name, value in load_file(tmp_path / "1").items())
    assert tensors.load_tensors(tmp_path / "1")[1] == {"a": "2", "b": "1"}


def test_a_png_comes_back_with_its_text(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    text = {"parameters": "a prompt\nSteps: 30", "note": "ümlaut ☃"}
    (tmp_path / "a.png").write_bytes(images.encode_png(pixels, text))
    np.testing.assert_array_equal(images.load_image(tmp_path / "a.png"), pixels)
    assert Image.open(tmp_path / "a.png").text == text
    assert images.encode_png(pixels, text) == images.encode_png(pixels, dict(reversed(text.items())))


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "D_1"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(UserError, match="No space left"), files.atomic_folder(target) as folder:
        (folder / "new.txt").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["D_1"]
    assert (target / "old.txt").read_text() == "old"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    json_files.write_json(path, {"a": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="a.json: No space left"):
        json_files.write_json(path, {"a": 2})
    assert json_files.read_json(path) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_line_of_json_may_hold_any_character(tmp_path: Path) -> None:
    rows = [{"prompt": "one\u2028two\u0085three\nfour"}, {"prompt": ""}]
    json_files.write_jsonl(tmp_path / "a.jsonl", rows)
    assert json_files.read_jsonl(tmp_path / "a.jsonl") == rows
    json_files.write_jsonl(tmp_path / "none.jsonl", [])
    assert json_files.read_jsonl(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    "content", ['{"x": 1}\n', '{"file": null}\n', '{"file": 3}\n', "[1]\n", "{\n", "\u00e9".encode("latin-1")]
)
def test_a_row_that_is_not_what_it_should_be_is_named(tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match="a.jsonl"):
        json_files.read_jsonl(tmp_path / "a.jsonl", ("file",))


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        files.write_text(tmp_path / "p.txt/x/a.txt", "a")
    with pytest.raises(UserError, match="cannot write"), files.atomic_folder(tmp_path / "p.txt/D_1"):
        pass


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one_to_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "D_1"
    target.mkdir()
    (target / "old.txt").write_text("old")
    rename = Path.replace

    def refuse_the_new_one(self: Path, other: Path) -> Path:
        if self.name == ".D_1.partial":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, other)

    monkeypatch.setattr(Path, "replace", refuse_the_new_one)
    with pytest.raises(UserError, match="Input/output error"), files.atomic_folder(target) as folder:
        (folder / "new.txt").write_text("new")
    assert (target / "old.txt").read_text() == "old"


def test_a_file_in_the_place_of_a_folder_is_kept(tmp_path: Path) -> None:
    (tmp_path / "D_1").write_text("mine")
    with pytest.raises(UserError, match="D_1 is a file where a folder must be"), files.atomic_folder(tmp_path / "D_1"):
        pytest.fail("the work begins before the place is looked at")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("D_1", "mine")]
    with pytest.raises(UserError, match="metrics is a file where a folder must be"):
        (tmp_path / "metrics").write_text("mine")
        json_files.write_json(tmp_path / "metrics/1.json", {})
    with pytest.raises(UserError, match="scratch is a file where a folder must be"):
        (tmp_path / "scratch").write_text("mine")
        files.free_bytes(tmp_path / "scratch/sample/123")


def test_a_read_that_fails_inside_a_folder_is_not_said_to_be_a_write(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"cannot read .*missing\.txt: No such file"),
        files.atomic_folder(tmp_path / "D_1"),
    ):
        (tmp_path / "missing.txt").read_text()
    with (
        pytest.raises(UserError, match="cannot write .*D_1: Is a directory"),
        files.atomic_folder(tmp_path / "D_1") as folder,
    ):
        (folder / "sub").mkdir()
        (folder / "sub").write_text("x")
    with (
        pytest.raises(UserError, match=r"cannot read .*gone.png: No such file.*shard.tar was left as it was"),
        files.atomic_file(tmp_path / "shard.tar"),
    ):
        (tmp_path / "gone.png").read_bytes()
    with pytest.raises(OSError, match="neither"), files.atomic_folder(tmp_path / "D_1"):
        raise OSError("neither a read nor a write")
    assert not list(tmp_path.iterdir())


def test_json_without_a_key_that_is_needed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    needed = {"model": str, "fid": int | float}
    for value in ({}, [], None, {"model": "m"}, {"model": "m", "fid": None}, {"model": 3, "fid": 1.0}):
        json_files.write_json(path, value)
        with pytest.raises(UserError, match=r"base\.json lacks .*(model|fid)"):
            json_files.read_json(path, needed)
    json_files.write_json(path, {"model": "m", "fid": 1, "more": None})
    assert json_files.read_json(path, needed)["fid"] == 1


def test_tensors_that_are_needed_are_named(tmp_path: Path) -> None:
    tensors.save_tensors(tmp_path / "x", {"image": torch.ones(2)})
    assert tensors.read_array(tmp_path / "x", "image").tolist() == [1.0, 1.0]
    with pytest.raises(UserError, match="x lacks text: an older version made it"):
        tensors.read_array(tmp_path / "x", "text")


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_files.write_json(tmp_path / "a.json", {"fid": float("nan")})


_BOMB = b"BM" + bytes(8) + b"\x36\0\0\0" + b"\x28\0\0\0" + (40_000).to_bytes(4, "little") * 2 + b"\x01\x00\x18\x00" + bytes(24)
"""The header of a BMP of 40,000 x 40,000 pixels, too many to be opened."""


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"plain text", _BOMB])
def test_a_file_that_is_no_image_is_named_with_its_set(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data/D_3/x.png"
    files.write_bytes(path, content)
    with pytest.raises(UserError, match=r"x\.png is damaged or no image; restore D_3 with 'dvc checkout .*data/D_3'"):
        images.load_image(path)


@pytest.mark.parametrize("cut", [0, 4, 40, -1])
def test_a_damaged_safetensors_file_is_named(tmp_path: Path, cut: int) -> None:
    tensors.save_tensors(tmp_path / "x", {"a": torch.ones(4)})
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:cut])
    with pytest.raises(UserError, match="x is not a whole safetensors file"):
        tensors.load_tensors(tmp_path / "x")


def test_seeds_differ_between_images_iterations_and_runs() -> None:
    seeds = {image_seed(s, k, p, i) for s in range(3) for k in range(4) for p in range(50) for i in range(3)}
    assert len(seeds) == 3 * 4 * 50 * 3
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed("a", 1, 23) != derive_seed("a", 12, 3)


def test_paths_of_different_iterations_never_meet(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    kinds = (layout.images, layout.training_set, layout.model, layout.traces, layout.features, layout.metrics, layout.analysis)
    assert len({kind(k) for kind in kinds for k in range(20)}) == 7 * 20
    assert [image_name(7), image_name(7, 3)] == ["00007.png", "00007_3.png"]


def test_sd_scripts_is_found_in_the_checkout_around_a_copy(tmp_path: Path) -> None:
    (tmp_path / "vendor/sd-scripts").mkdir(parents=True)
    (tmp_path / "vendor/sd-scripts/train_network.py").touch()
    (tmp_path / "dvc.yaml").touch()
    inner = tmp_path / ".dvc/tmp/exps/tmp123"
    inner.mkdir(parents=True)
    assert sd_scripts(inner) == (tmp_path / "vendor/sd-scripts").resolve()
    assert project_root(inner) == tmp_path


def test_a_file_is_linked_or_copied_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    files.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").samefile(tmp_path / "a")

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(files.os, "link", refuse)
    files.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "new" and not (tmp_path / "b").samefile(tmp_path / "a")
