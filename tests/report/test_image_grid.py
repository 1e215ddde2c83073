import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from chains import write_chain
from pipeline.chain.image_sets import read_manifest
from pipeline.chain.paths import Layout
from pipeline.report.image_grid import GridImage, GridRow, grid


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return write_chain(tmp_path_factory.mktemp("small"), iterations=1, prompts=3)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return write_chain(tmp_path_factory.mktemp("large"), iterations=1, prompts=4, size=320)


def manifests(layout: Layout) -> list:
    return [read_manifest(layout, k) for k in (0, 1)]


def decoded(uri: str | None) -> Image.Image:
    assert uri is not None
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def images(rows: list[GridRow]) -> list[GridImage]:
    return [image for row in rows for cell in row.cells for image in cell]


def test_small_images_go_in_as_they_are_stored(small: Layout) -> None:
    for image in images(grid(small, manifests(small))):
        stored = (small.images(image.k) / image.listed["file"]).read_bytes()
        assert base64.b64decode(image.thumbnail.split(",")[1]) == stored
        assert image.enlarged is None


def test_large_images_become_a_thumbnail_and_an_enlargement(large: Layout) -> None:
    for image in images(grid(large, manifests(large))):
        thumbnail, enlarged = decoded(image.thumbnail), decoded(image.enlarged)
        assert (thumbnail.format, thumbnail.size, enlarged.size) == ("JPEG", (192, 192), (320, 320))


def test_rows_follow_the_prompts_whatever_the_order_of_the_manifest(small: Layout) -> None:
    shuffled = [manifest[::-1] for manifest in manifests(small)]
    assert grid(small, shuffled) == grid(small, manifests(small))


def test_the_page_stops_growing_at_its_budget(large: Layout) -> None:
    whole = grid(large, manifests(large))
    size = sum(len(image.thumbnail) for image in images(whole[:2]))
    cut = grid(large, manifests(large), thumbnail_budget=size, total_budget=size)
    assert [row.index for row in cut] == [0, 1]
    assert all(image.enlarged is None for image in images(cut))


def test_the_prompts_to_show_first_are_kept_when_not_all_fit(large: Layout) -> None:
    whole = grid(large, manifests(large))
    size = sum(len(image.thumbnail) for row in (whole[0], whole[3]) for cell in row.cells for image in cell)
    cut = grid(large, manifests(large), first=[3, 0, 77, 3], thumbnail_budget=size)
    assert [row.index for row in cut] == [0, 3]


def test_a_budget_of_nothing_still_shows_a_row(small: Layout) -> None:
    assert len(grid(small, manifests(small), thumbnail_budget=0, total_budget=0)) == 1


def test_a_prompt_without_an_image_leaves_a_hole(small: Layout, tmp_path: Path) -> None:
    real, drawn = manifests(small)
    assert grid(small, [real, drawn[1:]])[0].cells[1] == []
