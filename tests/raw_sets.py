"""Small raw data sets in the layouts of their owners, and models that answer without weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.inputs.captions.parts import Tag
from pipeline.inputs.captions.rules import Window


def image(path: Path, seed: int, size: tuple[int, int] = (20, 24), mode: str = "RGB") -> Path:
    """An image of noise in four colours, another one for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 2, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).convert(mode).save(path)
    return path


def pokemon(folder: Path) -> Path:
    """PokeAPI's clone of sprites: numbers without zeros, other forms from 10001 on, and a table of names."""
    art = folder / "sprites/pokemon/other/official-artwork"
    for number in (1, 2, 10, 10033):
        image(art / f"{number}.png", number, mode="RGBA")
    image(folder / "sprites/pokemon/1.png", 99)
    (folder / "pokemon.csv").write_text("id,identifier,species_id\n1,bulbasaur,1\n2,ivysaur,2\n10,caterpie,10\n")
    return folder


def celeba(folder: Path, count: int = 6) -> Path:
    """The official archive's layout, with its table of attributes."""
    names = [f"{number:06d}.jpg" for number in range(1, count + 1)]
    for number, name in enumerate(names, 1):
        image(folder / "img_align_celeba" / name, number, (178, 218))
    rows = [f"{name}  1 -1  1" for name in names]
    (folder / "list_attr_celeba.txt").write_text(f"{count}\nBlack_Hair Smiling Young\n" + "\n".join(rows) + "\n")
    return folder


def kumapi(folder: Path) -> Path:
    """Images in folders, numbered without zeros."""
    for number in (1, 2, 10):
        image(folder / f"illustrations/{number}.png", number)
    return folder


ERATO = (
    'Heliconius erato\nCrimson-patched Longwing\n3-3 3/8" (76-86 mm). Wings long, narrow, and rounded. Black above, '
    "crossed on FW by broad crimson patch, and on HW by narrow yellow line. Below, similar but red is pinkish.\n"
)


def butterfly(folder: Path) -> Path:
    """The Leeds set: seven digits an image, the first three its species; masks that are no images of the set."""
    for species, number in (("003", 1), ("003", 2), ("004", 1)):
        image(folder / f"leedsbutterfly/images/{species}{number:04d}.png", int(species) * 10 + number)
        image(folder / f"leedsbutterfly/segmentations/{species}{number:04d}_seg0.png", 7)
    descriptions = folder / "leedsbutterfly/descriptions"
    descriptions.mkdir()
    (descriptions / "003.txt").write_text(ERATO)
    (descriptions / "004.txt").write_text('Junonia coenia\nCommon Buckeye\n2-2 1/2" (51-63 mm). Wings scalloped.\n')
    return folder


class SaysNumbers:
    """In BLIP's place: as many words as the window asks for at least, after "a butterfly"; counts the images it saw."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.seen = 0
        self._fail_after = fail_after

    def caption(self, images: Sequence[Image.Image], window: Window) -> list[str]:
        if self._fail_after is not None and self.seen >= self._fail_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        return ["a butterfly" + " word" * (window.least - 2) for _ in images]


class TagsAlike:
    """In the tagger's place: the same tags for every image."""

    def __init__(self, tags: tuple[Tag, ...] = (("solo", 0.98, "general"), ("red eyes", 0.4, "general"))) -> None:
        self.seen = 0
        self._tags = tags

    def tag(self, images: Sequence[Image.Image]) -> list[tuple[Tag, ...]]:
        self.seen += len(images)
        return [self._tags for _ in images]
