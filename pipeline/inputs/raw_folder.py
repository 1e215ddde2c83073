"""Read a user's folder of images with .txt captions beside them; all that is wrong with its files is told at once."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError, printable
from pipeline.core.files import IN_CACHE, sha256_bytes, write_text
from pipeline.core.progress import Progress
from pipeline.inputs.captions.compose import prompt_set_captions
from pipeline.inputs.datasets.caption_files import CaptionFile, fault_of_caption, read_caption
from pipeline.inputs.datasets.images import SUFFIXES, BrokenImage, open_image, square
from pipeline.inputs.datasets.items import listed
from pipeline.inputs.missing import no_raw_folder

_IGNORED_NAMES = frozenset({"readme.md", "parts.jsonl", "source.json", ".gitignore", ".ds_store", "thumbs.db"})
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


def read_folder(
    folder: Path,
    resolution: int,
    limit: int | None = None,
    fit: str = "crop",
    form: str = "full",
    strict: bool = False,
    log: Path | None = None,
) -> RawSet:
    """Read the first `limit` usable images by name, as squares by `fit`, with their captions.

    Captions are the .txt files for the prompt set `form` full, and come from parts.jsonl for tags, short and long.
    Raise UserError when fewer than 2 or than `limit` are usable, and when `strict` for any problem, with all of them in `log`.
    """
    if not folder.is_dir():
        raise no_raw_folder(folder)
    captions = None if form == "full" else prompt_set_captions(folder, form)
    pairs, problems = _pair_up(folder, from_files=captions is None)
    found, digests, held = RawSet(left_out=problems), [], 0
    with Progress("images", len(pairs) if limit is None else min(limit, len(pairs))) as progress:
        for image, caption in pairs.items():
            if len(found.images) == limit:
                break
            try:
                # Before its caption: of a broken image there may be none.
                pixels = read_pixels(image, resolution, fit)
                text = _from_file(caption) if captions is None else _from_parts(captions, image, form)
                held += pixels.nbytes
                keep = partial(np.asarray, pixels) if held <= _HELD_BYTES else partial(read_pixels, image, resolution, fit)
                found.images.append(RawImage(image.stem, keep, text))
                digests.append(sha256_bytes(pixels.tobytes()))
                progress.advance()
            except UnusableFile as problem:
                problems.append(str(problem))
    problems.sort()
    if strict and problems:
        advice = "fix the files, or set strict to false to leave them out"
        if log is not None:
            write_text(log, "".join(f"{problem}\n" for problem in problems))
            advice += f" (all are in {log})"
        raise UserError(f"{folder} has {len(problems)} problem(s); {advice}: {listed(problems)}")
    _check_count(folder, found, limit)
    found.copies = _copies([image.name for image in found.images], digests)
    return found


def _check_count(folder: Path, found: RawSet, limit: int | None) -> None:
    """Raise UserError unless the folder's images make a chain, and are as many as asked for."""
    count, usable = len(found.images), "usable " if found.left_out else ""
    why = f" ({len(found.left_out)} problem(s): {listed(found.left_out)})" if found.left_out else ""
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


def _pair_up(folder: Path, from_files: bool) -> tuple[dict[Path, Path], list[str]]:
    """Return {image: its caption} in order of name, and what is wrong with the folder's list of names.

    With `from_files` an image whose .txt is ambiguous or refused is no pair; else its .txt does not matter.
    """
    problems: list[str] = []
    refused: set[str] = set()
    images: dict[str, list[Path]] = defaultdict(list)
    captions: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.name.lower() in _IGNORED_NAMES:
            continue
        kind = _kind(path)
        if problem := _problem_of_name(path, folder, kind):
            problems.append(problem)
            refused.add(path.name)
        elif kind:
            {"image": images, "caption": captions}[kind][path.stem].append(path)
    problems += [f"{printable(same[0].name)} has no image beside it" for stem, same in captions.items() if stem not in images]
    pairs = {}
    for stem, same in images.items():
        texts = captions.get(stem, [same[0].with_suffix(".txt")])
        several = next((paths for paths in (same, texts if from_files else []) if len(paths) > 1), None)
        if several:
            problems.append(f"duplicate name: {' and '.join(printable(path.name) for path in several)} would be one pair")
        elif from_files and texts[0].name in refused:
            problems.append(f"{printable(same[0].name)} has no usable caption")
        else:
            pairs[same[0]] = texts[0]
    return pairs, problems


def _kind(path: Path) -> str | None:
    """Return what a file's name says that it is; None for a folder, a device, and a link that leads nowhere."""
    if not path.is_file():
        return None
    suffix = path.suffix.lower()
    return "image" if suffix in SUFFIXES else "caption" if suffix == ".txt" else None


def _problem_of_name(path: Path, folder: Path, kind: str | None) -> str | None:
    name = printable(path.name)
    if any("\ud800" <= character <= "\udfff" for character in path.name):
        return f"{name} has a name that is not UTF-8; rename it"
    if path.is_symlink() and not path.exists():
        return f"{name} is a link that leads nowhere"
    if _leads_out(path, folder):
        return f"{name} is a link out of {folder}; put the file itself there"
    if kind is None:
        return f"{name} is neither an image ({', '.join(sorted(SUFFIXES))}) nor a .txt caption"
    return None


def _leads_out(path: Path, folder: Path) -> bool:
    """Tell whether a link shows a file from elsewhere: of DVC's cache, whose links are its own, or of anywhere at all."""
    if not path.is_symlink():
        return False
    target = os.path.realpath(path)
    return not Path(target).is_relative_to(os.path.realpath(folder)) and not IN_CACHE.search(Path(target).as_posix())


def _from_parts(captions: Mapping[str, str], image: Path, form: str) -> str:
    """Return the image's caption of a prompt set. Raise UnusableFile when parts.jsonl has none."""
    if image.stem not in captions:
        raise UnusableFile(f"{printable(image.name)} has no caption of the prompt set {form} in parts.jsonl")
    return _checked(CaptionFile(image, captions[image.stem], fault_of_caption(captions[image.stem])))


def _from_file(path: Path) -> str:
    if not path.exists():
        raise UnusableFile(f"{printable(path.name)} is missing: every image needs a caption")
    return _checked(read_caption(path))


def _checked(caption: CaptionFile) -> str:
    if fault := caption.fault or ("" if caption.text else "is empty: every image needs a caption"):
        raise UnusableFile(f"{printable(caption.path.name)} {fault}")
    return caption.text


def read_pixels(path: Path, resolution: int, fit: str = "crop") -> np.ndarray:
    """Read an image as a square by `fit` (crop, pad or squash) -> [R,R,3] uint8. Raise UnusableFile.

    Nothing is enlarged: the shorter side, for `pad` the longer one, must have `resolution` pixels.
    """
    name = printable(path.name)
    try:
        image = open_image(path)
    except BrokenImage as reason:
        raise UnusableFile(f"{name} {reason}") from reason
    if (max if fit == "pad" else min)(image.size) < resolution:
        raise UnusableFile(f"{name} is {image.width}x{image.height}, smaller than the resolution {resolution}x{resolution}")
    return np.asarray(square(image, resolution, fit))
