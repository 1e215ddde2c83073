"""Stage prepare: D_0, P and M_0's record, from creatures or from a user's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.chain import params
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_file
from pipeline.core.json_files import read_jsonl
from pipeline.inputs.base_models.identity import base_files, base_hash
from pipeline.inputs.creature_drawing import write_folder
from pipeline.inputs.creatures import NARROW_STYLE, distinct_creatures
from pipeline.inputs.raw_folder import read_folder
from pipeline.prepare import stage
from project import ROOT


def view(**changes: object) -> View:
    values = params.load(ROOT / "params.yaml").model_dump() | changes
    return View(params.check(values), "prepare")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    write_folder(folder, 5, seed=1)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_default_set_is_n_different_creatures_in_one_style(tmp_path: Path, tiny_model: Path) -> None:
    layout = Layout(tmp_path)
    stage.run(view(model=str(tiny_model), prompts=12), layout)
    rows = read_jsonl(layout.manifest(0))
    assert [row["prompt_index"] for row in rows] == list(range(12))
    assert len({row["sha256"] for row in rows}) == len({row["prompt"] for row in rows}) == 12
    assert all(f"{NARROW_STYLE} style" in row["prompt"] for row in rows)
    assert all(sha256_file(layout.images(0) / row["file"]) == row["sha256"] for row in rows)
    assert json.loads(layout.base_record().read_text())["files"].keys() >= {"unet/config.json", "vae/config.json"}


def test_a_second_run_writes_the_same_bytes_and_another_seed_does_not(tmp_path: Path, tiny_model: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        stage.run(view(model=str(tiny_model), prompts=6, seed=seed), Layout(tmp_path / name))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert tree(tmp_path / "a/data/D_0") != tree(tmp_path / "c/data/D_0")


def test_gaussian_noise_has_the_standard_deviation_asked_for() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = stage.add_noise(grey, 0.1, seed=3).astype(float)
    assert np.std(noisy) == pytest.approx(25.5, rel=0.02)
    assert stage.add_noise(grey, 0.0, seed=3) is grey


def test_a_folder_gives_its_images_in_order_of_name(raw: Path) -> None:
    images = read_folder(raw, 64).images
    assert [image.name for image in images] == [f"creature_{i:05d}" for i in range(5)]
    assert images[2].caption == (raw / "creature_00002.txt").read_text().strip()
    np.testing.assert_array_equal(images[2].pixels, np.asarray(Image.open(raw / "creature_00002.png")))


def test_larger_images_are_scaled_and_cropped_at_the_centre(tmp_path: Path) -> None:
    wide = Image.new("RGB", (256, 128), "red")
    wide.paste("blue", (64, 0, 192, 128))
    for name in "ab":
        wide.save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text("a blue square")
    inner = read_folder(tmp_path, 64).images[0].pixels[:, 2:-2]
    np.testing.assert_allclose(inner, np.broadcast_to((0, 0, 255), inner.shape), atol=1)


def test_transparency_lies_on_white_and_exif_orientation_is_applied(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    upright = Image.new("RGB", (64, 64), "black")
    upright.paste("white", (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 3
    upright.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    for name in ("clear", "turned"):
        (tmp_path / f"{name}.txt").write_text("something")
    clear, turned = read_folder(tmp_path, 64).images
    assert (clear.pixels == 255).all()
    assert turned.pixels[:20].mean() < 20 < 230 < turned.pixels[44:].mean()


def test_every_problem_is_listed_by_file_name(raw: Path) -> None:
    (raw / "creature_00000.png").write_bytes((raw / "creature_00000.png").read_bytes()[:150])
    (raw / "creature_00001.txt").write_text("  \n")
    (raw / "creature_00002.txt").unlink()
    (raw / "creature_00003.jpg").write_bytes(b"not an image")
    (raw / "lonely.txt").write_text("no image")
    (raw / "notes.pdf").write_text("?")
    Image.new("RGB", (40, 30)).save(raw / "small.png")
    (raw / "small.txt").write_text("small")
    with pytest.raises(UserError) as error:
        read_folder(raw, 64, strict=True)
    for expected in (
        "creature_00000.png cannot be read", "creature_00001.txt is empty", "creature_00002.png has no caption",
        "creature_00003.jpg has the name of creature_00003.png", "lonely.txt has no image", "notes.pdf is neither",
        "small.png is 40x30, smaller than the resolution 64x64",
    ):  # fmt: skip
        assert expected in str(error.value)


@pytest.mark.parametrize(("prompts", "expected"), [(9, "holds 5 images, but prompts is 9"), (None, None), (3, None)])
def test_the_number_of_prompts_may_be_less_than_the_folder_but_not_more(
    raw: Path, prompts: int | None, expected: str | None
) -> None:
    if expected:
        with pytest.raises(UserError, match=expected):
            read_folder(raw, 64, prompts)
    else:
        assert len(read_folder(raw, 64, prompts).images) == (prompts or 5)


@pytest.mark.parametrize("count", [0, 1])
def test_a_folder_with_too_few_images_asks_for_more(raw: Path, count: int) -> None:
    for path in sorted(raw.iterdir())[2 * count :]:
        path.unlink()
    with pytest.raises(UserError, match=f"holds {['no', 'one'][count]} image; put at least 2 there"):
        read_folder(raw, 64, limit=100)


def test_a_byte_order_mark_is_no_part_of_a_caption(raw: Path) -> None:
    (raw / "creature_00000.txt").write_bytes("\ufeffa creature".encode())
    assert read_folder(raw, 64).images[0].caption == "a creature"


def test_more_creatures_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match="there are only 28800 different creatures in style inkpress, got 28801"):
        distinct_creatures(0, 28_801, style=NARROW_STYLE)


def test_a_missing_folder_or_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder"):
        read_folder(tmp_path / "nowhere", 64)
    with pytest.raises(UserError, match="there is no folder .*nothing"):
        stage.run(view(model=str(tmp_path / "nothing")), Layout(tmp_path))


@pytest.mark.parametrize("without", ["unet", "tokenizer"])
def test_the_files_of_a_model_that_lacks_a_part_are_not_hashed(tmp_path: Path, tiny_model: Path, without: str) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model", ignore=shutil.ignore_patterns(without)))
    with pytest.raises(UserError, match=f"model has no files in {without}"):
        base_files(model)


def test_another_vae_stands_in_for_the_models_own(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*none; .* set vae \(params.yaml\) to the folder"):
        stage.run(view(model=str(tiny_model), vae=str(tmp_path / "none")), Layout(tmp_path))
    model = Path(shutil.copytree(tiny_model, tmp_path / "model", ignore=shutil.ignore_patterns("vae")))
    assert base_hash(base_files(model, tiny_model / "vae")) == base_hash(base_files(tiny_model))


def test_a_failed_run_loses_no_earlier_set(tmp_path: Path, tiny_model: Path) -> None:
    layout = Layout(tmp_path)
    stage.run(view(model=str(tiny_model), prompts=4), layout)
    before = tree(layout.images(0))
    with pytest.raises(UserError):
        stage.run(view(model=str(tiny_model), dataset="folder", folder=str(tmp_path / "none")), layout)
    assert tree(layout.images(0)) == before


def test_creatures_are_distinct_in_their_attributes() -> None:
    creatures = distinct_creatures(0, 300, style=NARROW_STYLE)
    keys = {(c.shape, c.colour, c.eye_count, c.eye_colour, c.top, c.tail, c.pattern) for c in creatures}
    assert len(keys) == 300


def test_several_styles_share_the_prompts_evenly(tmp_path: Path, tiny_model: Path) -> None:
    layout = Layout(tmp_path)
    stage.run(view(model=str(tiny_model), prompts=7, creature_styles=["inkpress", "pastel", "flat"]), layout)
    styles = [row["prompt"].split()[-2] for row in read_jsonl(layout.manifest(0))]
    assert styles == ["inkpress", "pastel", "flat", "inkpress", "pastel", "flat", "inkpress"]
    assert len({row["prompt"] for row in read_jsonl(layout.prompts)}) == 7


def test_an_unknown_style_is_named_with_the_known_ones(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(UserError, match=r"creature_styles.*inkpress.*got 'oil'"):
        stage.run(view(model=str(tiny_model), creature_styles=["oil"]), Layout(tmp_path))
