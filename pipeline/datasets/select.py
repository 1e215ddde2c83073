"""Open the pictures that a layout found: what is broken or a copy is listed, and N good ones are chosen by a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.datasets.items import Found, Item, Problem
from pipeline.datasets.pictures import BrokenPicture, open_picture
from pipeline.randomness import derive_seed
from pipeline.storage import sha256_file


@dataclass(frozen=True)
class Chosen:
    """A picture that can be used, and the hash of its file."""

    item: Item
    sha256: str


def choose(
    found: Found,
    count: int | None = None,
    seed: int = 0,
    known: Iterable[str] = (),
    seen: Callable[[int], None] = lambda _: None,
) -> tuple[list[Chosen], list[Problem]]:
    """`count` readable, different pictures in the layout's order (all without `count`), and the problems met on the way.

    With a `count` they are drawn at random by `seed`; a smaller draw is part of a larger one, and a broken file is made
    up for by the next. `known` are hashes of files that were opened before. `seen` is called with 1 for each file.
    """
    order = list(range(len(found.items)))
    if count is not None:
        np.random.default_rng(derive_seed("subset", seed)).shuffle(order)
    opened, problems = set(known), list(found.problems)
    first: dict[str, str] = {}
    good: dict[int, Chosen] = {}
    for place in order:
        if len(good) == count:
            break
        item = found.items[place]
        seen(1)
        try:
            digest = _examine(item, opened)
        except BrokenPicture as reason:
            problems.append(Problem(item.path.name, str(reason)))
            continue
        if digest in first:
            problems.append(Problem(item.path.name, f"is a copy of {first[digest]}"))
            continue
        first[digest] = item.path.name
        good[place] = Chosen(item, digest)
    if count is not None and len(good) < count:
        problems.append(Problem("the set", f"has {len(good)} usable pictures, fewer than the {count} asked for"))
    return [good[place] for place in sorted(good)], problems


def _examine(item: Item, opened: set[str]) -> str:
    """Hash of the file. Raises BrokenPicture when it is no picture."""
    try:
        digest = sha256_file(item.path)
    except OSError as error:
        raise BrokenPicture(f"cannot be read: {error.strerror}") from error
    if digest not in opened:
        open_picture(item.path)
    return digest
