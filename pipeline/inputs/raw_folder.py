"""Read a user's folder of images with captions for D_0; all that is wrong with its files is told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError, printable
from pipeline.core.files import sha256_bytes, write_text
from pipeline.core.progress import Progress
from pipeline.inputs.captions.compose import prompt_set_captions
from pipeline.inputs.datasets.caption_files import fault_of_caption
from pipeline.inputs.datasets.folder_contents import same_name
from pipeline.inputs.datasets.image_folder import Picture, read_image_folder
from pipeline.inputs.datasets.images import BrokenImage, open_image, square
from pipeline.inputs.datasets.items import listed
from pipeline.inputs.missing import no_raw_folder

_HELD_BYTES = 2**30
"""Pixels of this many bytes stay in memory between the check of a folder and its use; what is beyond is read twice."""


class UnusableFile(Exception):
    """What is wrong with one file: its name and the reason."""


@dataclass(frozen=True)
class RawImage:
    """One image of the raw set and its caption; a large set is not held in memory, so it may be read again when asked for."""

    name: str
    read: Callable[[], np.ndarray]
    caption: str

    @property
    def pixels(self) -> np.ndarray:
        """Return [R,R,3] uint8 at the model's resolution. Raise UserError when the file is no longer what the check saw."""
        try:
            return self.read()
        except UnusableFile as problem:
            raise UserError(f"{problem}, though it was whole a moment ago; nothing was written, run again") from problem


@dataclass
class RawSet:
    """The images of a folder, and what is to be told of it: by file name, with the reason."""

    images: list[RawImage] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    """Images that show the same as another; they stay, because their owner may weigh an image so."""
    notices: list[str] = field(default_factory=list)
    """What was left out, or taken in another's place, on purpose."""


def read_folder(
    folder: Path,
    resolution: int,
    limit: int | None = None,
    fit: str = "crop",
    form: str = "full",
    strict: bool = False,
    log: Path | None = None,
) -> RawSet:
    """Read the first `limit` usable images, as squares by `fit`, with their captions (`examine_folder` says which).

    Raise UserError when fewer than 2 or than `limit` are usable, and when `strict` for any problem, with all of them in `log`.
    """
    found = examine_folder(folder, resolution, limit, fit, form)
    if strict and found.left_out:
        advice = "fix the files, or set strict to false to leave them out"
        if log is not None:
            write_text(log, "".join(f"{line}\n" for line in (*found.notices, *found.left_out)))
            advice += f" (all are in {log})"
        raise UserError(f"{folder} has {len(found.left_out)} problem(s); {advice}: {listed(found.left_out)}")
    check_count(folder, found, limit)
    return found


def examine_folder(folder: Path, resolution: int, limit: int | None = None, fit: str = "crop", form: str = "full") -> RawSet:
    """Read the first `limit` usable images, in order of their paths, and list all that is wrong with the others.

    Captions are those of files and tables for the prompt set `form` full, and come from parts.jsonl for tags, short and long.
    Raise UserError when there is no such folder, or no such prompt set in it.
    """
    if not folder.is_dir():
        raise no_raw_folder(folder)
    captions = None if form == "full" else {same_name(k): v for k, v in prompt_set_captions(folder, form).items()}
    listing = read_image_folder(folder, with_captions=captions is None)
    problems = list(map(str, listing.problems))
    found, digests, held = RawSet(left_out=problems, notices=listing.notices), [], 0
    pictures = listing.pictures
    with Progress("images", len(pictures) if limit is None else min(limit, len(pictures))) as progress:
        for picture in pictures:
            if len(found.images) == limit:
                break
            try:
                # Before its caption: of a broken image there may be none.
                pixels = read_pixels(picture.path, resolution, fit, picture.label)
                text = _said_of(picture) if captions is None else _from_parts(captions, picture, form)
                held += pixels.nbytes
                keep = (
                    partial(np.asarray, pixels)
                    if held <= _HELD_BYTES
                    else partial(read_pixels, picture.path, resolution, fit, picture.label)
                )
                found.images.append(RawImage(picture.name, keep, text))
                digests.append(sha256_bytes(pixels.tobytes()))
                progress.advance()
            except UnusableFile as problem:
                problems.append(str(problem))
    problems.sort()
    found.copies = _copies([image.name for image in found.images], digests)
    return found


def check_count(folder: Path, found: RawSet, limit: int | None) -> None:
    """Raise UserError unless the folder's images make a chain, and are as many as asked for."""
    count, usable = len(found.images), "usable " if found.left_out else ""
    reasons = [*found.notices, *([f"{len(found.left_out)} problem(s): {listed(found.left_out)}"] if found.left_out else [])]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    if count < 2:
        held = f"no {usable}image" if count == 0 else f"one {usable}image"
        raise UserError(f"{folder} holds {held}; put at least 2 there, each with a .txt caption beside it{why}")
    if limit is not None and limit > count:
        advice = "set prompts to null or at most"
        raise UserError(f"{folder} holds {count} {usable}images, but prompts is {limit}; {advice} {count}{why}")


def _copies(names: list[str], digests: list[str]) -> list[str]:
    """Return one line for each image whose pixels, by their hash, are those of an earlier one."""
    first: dict[str, str] = {}
    owners = [(name, first.setdefault(digest, name)) for name, digest in zip(names, digests, strict=True)]
    return [f"{printable(name)} shows the same as {printable(owner)}" for name, owner in owners if name != owner]


def _from_parts(captions: Mapping[str, str], picture: Picture, form: str) -> str:
    """Return the image's caption of a prompt set. Raise UnusableFile when parts.jsonl has none."""
    text = captions.get(same_name(picture.name))
    if text is None:
        raise UnusableFile(f"{printable(picture.label)} has no caption of the prompt set {form} in parts.jsonl")
    if fault := fault_of_caption(text):
        raise UnusableFile(f"{printable(picture.label)} has a caption in parts.jsonl that {fault}")
    return text


def _said_of(picture: Picture) -> str:
    """Return the caption that the image's owner gave it. Raise UnusableFile when there is none that a chain takes."""
    caption = picture.caption()
    if problem := picture.problem(caption):
        raise UnusableFile(str(problem))
    return caption.text


def read_pixels(path: Path, resolution: int, fit: str = "crop", label: str = "") -> np.ndarray:
    """Read an image as a square by `fit` (crop, pad or squash) -> [R,R,3] uint8. Raise UnusableFile, with `label` or its name.

    Nothing is enlarged: the shorter side, for `pad` the longer one, must have `resolution` pixels.
    """
    name = printable(label or path.name)
    try:
        image = open_image(path)
    except BrokenImage as reason:
        raise UnusableFile(f"{name} {reason}") from reason
    if (max if fit == "pad" else min)(image.size) < resolution:
        raise UnusableFile(f"{name} is {image.width}x{image.height}, smaller than the resolution {resolution}x{resolution}")
    return np.asarray(square(image, resolution, fit))
