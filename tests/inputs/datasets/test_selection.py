"""Images are opened once; what is broken or a copy is listed, and the rest goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import raw_sets
from click.testing import CliRunner
from PIL import Image

from pipeline.cli.dataset import dataset as command
from pipeline.core.errors import UserError
from pipeline.inputs.datasets.catalogue import dataset
from pipeline.inputs.datasets.images import BrokenImage, open_image, square
from pipeline.inputs.datasets.items import Problem, require_no_problems
from pipeline.inputs.datasets.selection import select_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        raw_sets.image(tmp_path / f"{number:02d}.png", number)
    return tmp_path


def names(folder: Path, count: int | None = None, seed: int = 0) -> list[str]:
    chosen, _ = select_images(dataset("folder").read(folder), count, seed)
    return [one.item.name for one in chosen]


def test_every_kind_of_broken_image_is_listed_and_the_rest_goes_on(folder: Path) -> None:
    whole = (folder / "00.png").read_bytes()
    (folder / "01.png").write_bytes(whole[:60])
    (folder / "02.png").write_bytes(b"")
    (folder / "03.png").write_bytes(b"<html>not found</html>")
    (folder / "04.png").write_bytes(whole)
    chosen, problems = select_images(dataset("folder").read(folder))
    assert [one.item.name for one in chosen] == ["00", *(f"{n:02d}" for n in range(5, 12))]
    assert {problem.file: problem.reason.split(" (")[0] for problem in problems} == {
        "01.png": "cannot be read as an image", "02.png": "is empty", "03.png": "cannot be read as an image",
        "04.png": "is a copy of 00.png",
    }  # fmt: skip


def test_a_draw_is_by_seed_and_a_smaller_one_is_part_of_a_larger(folder: Path) -> None:
    assert names(folder, 5) == names(folder, 5) == sorted(names(folder, 5))
    assert names(folder, 5) != names(folder, 5, seed=1)
    assert set(names(folder, 3)) < set(names(folder, 5)) < set(names(folder, 9)) < set(names(folder))


def test_a_broken_file_in_a_draw_is_made_up_for(folder: Path) -> None:
    before = names(folder, 5)
    (folder / f"{before[0]}.png").write_bytes(b"broken")
    after = names(folder, 5)
    assert len(after) == 5 and set(before[1:]) < set(after)


def test_too_few_usable_images_are_said_with_both_numbers(folder: Path) -> None:
    _, problems = select_images(dataset("folder").read(folder), 40)
    assert str(problems[-1]) == "the set has 12 usable images, fewer than the 40 asked for"


def test_files_whose_hash_is_known_are_not_opened_again(folder: Path) -> None:
    found = dataset("folder").read(folder)
    hashes = [one.sha256 for one in select_images(found)[0]]
    (folder / "00.png").write_bytes(b"broken since")
    chosen, problems = select_images(found, known=hashes)
    assert len(chosen) == 11 and problems[0].file == "00.png"


def test_strict_refuses_with_the_list_and_no_problem_is_no_error(tmp_path: Path) -> None:
    require_no_problems([], tmp_path)
    with pytest.raises(UserError, match="2 problem.*a.png is empty; b.png is a copy of a.png"):
        require_no_problems([Problem("b.png", "is a copy of a.png"), Problem("a.png", "is empty")], tmp_path)


def test_an_image_is_upright_on_white_whatever_its_mode(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((4, 4), 32896, np.uint16)).save(tmp_path / "deep.png")
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=100)
    turned = Image.new("RGB", (8, 4), "black")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert open_image(tmp_path / "deep.png").getpixel((0, 0)) == (128, 128, 128)
    red, green, blue = open_image(tmp_path / "print.jpg").getpixel((0, 0))
    assert red > 240 and green < 20 and blue < 20
    assert open_image(tmp_path / "turned.jpg").size == (4, 8)
    with pytest.raises(BrokenImage, match="is empty"):
        (tmp_path / "none.png").touch()
        open_image(tmp_path / "none.png")


def test_crop_loses_the_sides_pad_adds_white_and_squash_keeps_all() -> None:
    wide = Image.new("RGB", (40, 20), "red")
    wide.paste("blue", (10, 0, 30, 20))
    crop, pad, squash = (np.asarray(square(wide, 40, fit)) for fit in ("crop", "pad", "squash"))
    assert crop.shape == pad.shape == squash.shape == (40, 40, 3)
    assert (crop[:, 8:32] == (0, 0, 255)).all()
    assert (pad[:8] == 255).all() and (pad[20, 2] == (255, 0, 0)).all()
    assert (squash[:, 2] == (255, 0, 0)).all() and (squash[:, 20] == (0, 0, 255)).all()


def test_dataset_list_and_check_say_what_there_is(tmp_path: Path) -> None:
    raw_sets.butterfly(tmp_path)
    (tmp_path / "leedsbutterfly/images/0030002.png").write_bytes(b"?")
    listed = CliRunner().invoke(command, ["list"])
    assert listed.exit_code == 0 and "pokemon     1008" in listed.output
    checked = CliRunner().invoke(command, ["check", "butterfly", str(tmp_path)])
    assert checked.exit_code == 0, checked.output
    assert "0030002.png cannot be read" in checked.output
    assert "2 usable images of 3, the paper has 832; 1 problem(s)" in checked.output
    strict = CliRunner().invoke(command, ["check", "butterfly", str(tmp_path), "--strict"])
    assert isinstance(strict.exception, UserError)
