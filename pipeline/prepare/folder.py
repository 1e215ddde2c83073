"""Read a user's folder of images with .txt captions beside them, and list everything that is wrong with it at once."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import UserError, printable
from pipeline.guards import fault_of_text
from pipeline.prepare.pictures import BadFile, read_pixels

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_IGNORED_NAMES = frozenset({"readme.md", "parts.jsonl", ".gitignore", ".ds_store", "thumbs.db"})
_SHOWN_PROBLEMS = 20
LONGEST_CAPTION = 5_000
"""Characters. A text encoder reads 225 tokens at most; what is longer than this is no caption."""

_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
"""Where the links of a folder lead that DVC has checked out by linking."""


@dataclass(frozen=True)
class RawImage:
    """One picture of the raw set: `pixels` [R,R,3] uint8 at the model's resolution, and its caption."""

    name: str
    pixels: np.ndarray
    caption: str


def read_folder(folder: Path, resolution: int, limit: int | None = None) -> list[RawImage]:
    """Read images (sorted by name, at most `limit`), scaled to cover `resolution` and cropped at the centre.

    EXIF orientation is applied and transparency laid on white. Raises UserError listing every problem by file name.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; put the images and their .txt captions there, or set folder in params.yaml")
    pairs, problems = _pair_up(folder)
    if not problems:
        _check_count(folder, len(pairs), limit)
    chosen: list[RawImage] = []
    for image, caption in list(pairs.items())[:limit]:
        try:
            chosen.append(RawImage(image.stem, read_pixels(image, resolution), _read_caption(caption)))
        except BadFile as problem:
            problems.append(str(problem))
    if problems:
        shown = "; ".join(sorted(problems)[:_SHOWN_PROBLEMS])
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise UserError(f"{folder} has {len(problems)} problem(s), mend the files and run again: {shown}{more}")
    return chosen


def _check_count(folder: Path, count: int, limit: int | None) -> None:
    """Raise UserError unless the folder's `count` images make a chain, and are as many as asked for."""
    if count < 2:
        held = "no image" if count == 0 else "one image"
        raise UserError(f"{folder} holds {held}; put at least 2 there, each with a .txt caption beside it")
    if limit is not None and limit > count:
        raise UserError(f"{folder} holds {count} images, but prompts is {limit}; set prompts to null or at most {count}")


def _pair_up(folder: Path) -> tuple[dict[Path, Path], list[str]]:
    """{image: its caption} in order of name, and what is wrong with the folder's list of names."""
    problems: list[str] = []
    images: dict[str, list[Path]] = defaultdict(list)
    captions: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.name.lower() in _IGNORED_NAMES:
            continue
        kind = _kind(path)
        if problem := _problem_of_name(path, folder, kind):
            problems.append(problem)
        elif kind:
            {"image": images, "caption": captions}[kind][path.stem].append(path)
    for same in (*images.values(), *captions.values()):
        if len(same) > 1:
            problems.append(f"duplicate name: {' and '.join(printable(path.name) for path in same)} would be one pair")
    problems += [f"{printable(same[0].name)} has no image beside it" for stem, same in captions.items() if stem not in images]
    return {same[0]: captions.get(stem, [same[0].with_suffix(".txt")])[0] for stem, same in images.items()}, problems


def _kind(path: Path) -> str | None:
    """What a file's name says that it is; None for a folder, a device, and a link that leads nowhere."""
    if not path.is_file():
        return None
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "caption" if suffix == ".txt" else None


def _problem_of_name(path: Path, folder: Path, kind: str | None) -> str | None:
    name = printable(path.name)
    if any("\ud800" <= character <= "\udfff" for character in path.name):
        return f"{name} has a name that is not UTF-8; rename it"
    if path.is_symlink() and not path.exists():
        return f"{name} is a link that leads nowhere"
    if _leads_out(path, folder):
        return f"{name} is a link out of {folder}; put the file itself there"
    if kind is None:
        return f"{name} is neither an image ({', '.join(sorted(IMAGE_SUFFIXES))}) nor a .txt caption"
    return None


def _leads_out(path: Path, folder: Path) -> bool:
    """Whether a link shows a file from elsewhere: of DVC's cache, whose links are its own, or of anywhere at all."""
    if not path.is_symlink():
        return False
    target = os.path.realpath(path)
    return not Path(target).is_relative_to(os.path.realpath(folder)) and not _DVC_CACHE.search(Path(target).as_posix())


def _read_caption(path: Path) -> str:
    name = printable(path.name)
    try:
        if path.stat().st_size > 4 * LONGEST_CAPTION:
            raise BadFile(f"{name} is longer than the {LONGEST_CAPTION:,} characters that a caption may have")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadFile(f"{name} is missing: every image needs a caption") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"{name} is not UTF-8 text") from error
    except OSError as error:
        raise BadFile(f"{name} cannot be read: {error.strerror}") from error
    return _checked_caption(name, " ".join(text.split()))


def _checked_caption(name: str, caption: str) -> str:
    if not caption:
        raise BadFile(f"{name} is empty: every image needs a caption")
    if fault := fault_of_text(caption):
        raise BadFile(f"{name} holds {fault}; remove it")
    if len(caption) > LONGEST_CAPTION:
        raise BadFile(f"{name} is longer than the {LONGEST_CAPTION:,} characters that a caption may have")
    return caption
