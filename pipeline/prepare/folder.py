"""Read a user's folder of images with .txt captions beside them, and list everything that is wrong with it at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import UserError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_IGNORED_NAMES = frozenset({"readme.md", ".gitignore", ".ds_store", "thumbs.db"})
_SHOWN_PROBLEMS = 20


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
    paths, problems = _pair_up(folder)
    if not problems:
        _check_count(folder, len(paths), limit)
    chosen: list[RawImage] = []
    for path in paths[:limit]:
        try:
            chosen.append(RawImage(path.stem, _read_pixels(path, resolution), _read_caption(path.with_suffix(".txt"))))
        except _BadFile as problem:
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


class _BadFile(Exception):
    """What is wrong with one file."""


def _pair_up(folder: Path) -> tuple[list[Path], list[str]]:
    """Image paths in order of name, and what is wrong with the folder's list of names."""
    problems: list[str] = []
    by_stem: dict[str, list[Path]] = defaultdict(list)
    captions: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.lower() in _IGNORED_NAMES:
            continue
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
            by_stem[path.stem].append(path)
        elif path.is_file() and path.suffix.lower() == ".txt":
            captions.append(path)
        else:
            problems.append(f"{path.name} is neither an image ({', '.join(sorted(IMAGE_SUFFIXES))}) nor a .txt caption")
    for same in by_stem.values():
        if len(same) > 1:
            problems.append(f"duplicate name: {' and '.join(path.name for path in same)} would share one caption")
    problems += [f"{path.name} has no image beside it" for path in captions if path.stem not in by_stem]
    return [same[0] for same in by_stem.values()], problems


def _read_caption(path: Path) -> str:
    try:
        caption = " ".join(path.read_text(encoding="utf-8-sig").split())
    except FileNotFoundError as error:
        raise _BadFile(f"{path.name} is missing: every image needs a caption") from error
    except UnicodeDecodeError as error:
        raise _BadFile(f"{path.name} is not UTF-8 text") from error
    except OSError as error:
        raise _BadFile(f"{path.name} cannot be read: {error.strerror}") from error
    if not caption:
        raise _BadFile(f"{path.name} is empty: every image needs a caption")
    return caption


def _read_pixels(path: Path, resolution: int) -> np.ndarray:
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGBA")
    except Image.DecompressionBombError as error:
        raise _BadFile(f"{path.name} is too large to be opened safely") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise _BadFile(f"{path.name} cannot be read as an image (truncated, or not an image)") from error
    if min(image.size) < resolution:
        raise _BadFile(f"{path.name} is {image.width}x{image.height}, smaller than the resolution {resolution}x{resolution}")
    flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return np.asarray(ImageOps.fit(flat, (resolution, resolution), Image.Resampling.LANCZOS))
