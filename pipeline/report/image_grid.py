"""The prompt x k grid: every image inside the page, and the page below 30 MB."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from pipeline.chain.image_sets import checked_bytes, load_checked
from pipeline.chain.paths import Layout
from pipeline.charts.thumbnails import THUMBNAIL_SIDE, jpeg_uri, thumbnail
from pipeline.core.images import decode_image

ENLARGED_SIDE = 768
THUMBNAIL_BUDGET, TOTAL_BUDGET = 18_000_000, 26_000_000
"""Characters of data URIs: what the thumbnails may take, and what they may take with the enlargements."""


@dataclass(frozen=True)
class GridImage:
    """One image of D_k as data URIs, as the manifest `listed` it; `enlarged` is None where the thumbnail is all there is."""

    k: int
    listed: Mapping[str, Any]
    thumbnail: str
    enlarged: str | None = None

    @property
    def seed(self) -> int | None:
        return self.listed.get("seed")


@dataclass(frozen=True)
class GridRow:
    """A prompt over k: `cells`[k] holds the images of D_k, none where D_k has none."""

    index: int
    prompt: str
    cells: list[list[GridImage]]


def grid(
    layout: Layout,
    manifests: list[list[dict[str, Any]]],
    first: Sequence[int] = (),
    thumbnail_budget: int = THUMBNAIL_BUDGET,
    total_budget: int = TOTAL_BUDGET,
) -> list[GridRow]:
    """Return rows in the order of the prompts: as many as fit the budget, at least one; then enlargements while they fit.

    Where not all fit, the prompts `first` go before the others. An image is in the page once, whatever the order shown.

    Raise UserError when an image is missing, damaged or not the one that its manifest records.
    """
    by_prompt = _by_prompt(manifests)
    rows: list[GridRow] = []
    used = 0
    for index in dict.fromkeys([*(index for index in first if index in by_prompt), *sorted(by_prompt)]):
        row = _row(layout, index, by_prompt[index])
        size = sum(len(image.thumbnail) for cell in row.cells for image in cell)
        if rows and used + size > thumbnail_budget:
            break
        rows.append(row)
        used += size
    return sorted(_enlarge(layout, rows, total_budget - used), key=lambda row: row.index)


def _by_prompt(manifests: list[list[dict[str, Any]]]) -> dict[int, list[list[dict[str, Any]]]]:
    """Return {prompt index: rows of each D_k}."""
    found: dict[int, list[list[dict[str, Any]]]] = defaultdict(lambda: [[] for _ in manifests])
    for k, manifest in enumerate(manifests):
        for row in manifest:
            found[int(row["prompt_index"])][k].append(row)
    return dict(found)


def _row(layout: Layout, index: int, cells: list[list[dict[str, Any]]]) -> GridRow:
    prompt = next(row["prompt"] for cell in cells for row in cell)
    ordered = [sorted(cell, key=lambda row: row["image_index"]) for cell in cells]
    return GridRow(index, prompt, [[_grid_image(layout, k, row) for row in cell] for k, cell in enumerate(ordered)])


def _grid_image(layout: Layout, k: int, row: dict[str, Any]) -> GridImage:
    stored = checked_bytes(layout.images(k), row)
    pixels = decode_image(stored, layout.images(k) / row["file"])
    return GridImage(k, row, thumbnail(Image.fromarray(pixels), stored))


def _enlarge(layout: Layout, rows: list[GridRow], budget: int) -> list[GridRow]:
    """Give images their enlargement, row by row, until `budget` characters are spent."""
    enlarged = []
    for row in rows:
        cells = []
        for cell in row.cells:
            images = [_with_enlargement(layout, image) if budget > 0 else image for image in cell]
            budget -= sum(len(image.enlarged or "") for image in images)
            cells.append(images)
        enlarged.append(replace(row, cells=cells))
    return enlarged


def _with_enlargement(layout: Layout, image: GridImage) -> GridImage:
    if image.thumbnail.startswith("data:image/png"):
        return image
    pixels = Image.fromarray(load_checked(layout.images(image.k), image.listed))
    if max(pixels.size) <= THUMBNAIL_SIDE:
        return image
    return replace(image, enlarged=jpeg_uri(pixels, ENLARGED_SIDE, 88))
