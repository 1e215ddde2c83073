"""Open the images that a layout found: what is broken or a copy is listed, and N good ones are chosen by a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import printable
from pipeline.core.files import sha256_file
from pipeline.core.guards import fault_of_text
from pipeline.core.randomness import derive_seed
from pipeline.inputs.datasets.images import BrokenImage, open_image
from pipeline.inputs.datasets.items import Problem, RawItem, RawListing

_LONGEST_NAME = 200
"""Bytes: what is written beside an image has a longer name, and 255 is all that a disk takes."""


@dataclass(frozen=True)
class SelectedImage:
    """An image that can be used, and the hash of its file."""

    item: RawItem
    sha256: str


def select_images(
    found: RawListing,
    count: int | None = None,
    seed: int = 0,
    known: Iterable[str] = (),
    seen: Callable[[int], None] = lambda _: None,
) -> tuple[list[SelectedImage], list[Problem]]:
    """Select `count` readable, different images in the layout's order (all without `count`), and the problems met on the way.

    With a `count` they are drawn at random by `seed`; a smaller draw is part of a larger one, and a broken file is made
    up for by the next. `known` are hashes of files that were opened before. `seen` is called with 1 as often as
    `expected_count` says, for each file but those that another one makes up for.
    """
    order = list(range(len(found.items)))
    if count is not None:
        np.random.default_rng(derive_seed("subset", seed)).shuffle(order)
    spare = len(order) - expected_count(found, count)
    opened, problems = set(known), list(found.problems)
    first: dict[str, str] = {}
    good: dict[int, SelectedImage] = {}
    for place in order:
        if len(good) == count:
            break
        item = found.items[place]
        try:
            digest = _hash_usable(item, opened)
            if digest in first:
                raise BrokenImage(f"is a copy of {printable(first[digest])}")
        except BrokenImage as reason:
            problems.append(Problem(item.shown, str(reason)))
            if spare > 0:
                spare -= 1
            else:
                seen(1)
            continue
        seen(1)
        first[digest] = item.shown
        good[place] = SelectedImage(item, digest)
    if count is not None and len(good) < count:
        problems.append(Problem("the set", f"has {len(good)} usable images, fewer than the {count} asked for"))
    return [good[place] for place in sorted(good)], problems


def expected_count(found: RawListing, count: int | None) -> int:
    """Return how many images `select_images` comes to, if none is wrong."""
    return len(found.items) if count is None else min(count, len(found.items))


def _hash_usable(item: RawItem, opened: set[str]) -> str:
    """Hash the file. Raises BrokenImage when it is no image, or has a name that cannot be kept."""
    if fault := _fault_of_name(item):
        raise BrokenImage(f"has a name that {fault}; rename it")
    try:
        digest = sha256_file(item.path)
    except OSError as error:
        raise BrokenImage(f"cannot be read: {error.strerror}") from error
    if digest not in opened:
        open_image(item.path)
    return digest


def _fault_of_name(item: RawItem) -> str | None:
    """Return why lists, captions and files of the set could not have an image's name, which its folders may be part of."""
    for name in (item.path.name, item.name):
        if any("\ud800" <= character <= "\udfff" for character in name):
            return "is not UTF-8"
        if fault := fault_of_text(name):
            return f"holds {fault}"
        if "\\" in name:
            return "holds a backslash"
        if len(name.encode()) > _LONGEST_NAME:
            return f"is longer than {_LONGEST_NAME} bytes"
    return None
