"""The .txt and .caption files beside images: which there are, what they say, and what a chain would refuse of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.core.errors import printable
from pipeline.core.files import decode_text
from pipeline.core.guards import fault_of_text
from pipeline.inputs.datasets.folder_contents import CAPTION_SUFFIXES, is_litter, same_name
from pipeline.inputs.datasets.items import CaptionFile, Problem

LONGEST_CAPTION = 5_000
"""Characters. A text encoder reads 225 tokens at most; what is longer than this is no caption."""

_TOO_LONG = f"is longer than the {LONGEST_CAPTION:,} characters that a caption may have"


def read_caption(path: Path) -> CaptionFile:
    """Read the caption in a file; an empty one is no fault, for a model may fill it."""
    if not path.is_file():
        return CaptionFile(path, fault="is no plain file, so it is no caption")
    try:
        if path.stat().st_size > 4 * LONGEST_CAPTION:
            return CaptionFile(path, fault=_TOO_LONG)
        return caption_of_text(path, decode_text(path.read_bytes()))
    except UnicodeDecodeError:
        return CaptionFile(path, fault="is not UTF-8 text; save it as UTF-8")
    except OSError as error:
        return CaptionFile(path, fault=f"cannot be read: {error.strerror}")


def caption_of_text(path: Path, text: str) -> CaptionFile:
    """Return a text as the caption that `path` gives: on one line, and held to what a chain takes."""
    line = " ".join(text.split())
    return CaptionFile(path, line, fault_of_caption(line))


def fault_of_caption(text: str) -> str:
    """Return why a chain would not take a caption, "" when it would, or when it is empty."""
    if fault := fault_of_text(text):
        return f"holds {fault}"
    return _TOO_LONG if len(text) > LONGEST_CAPTION else ""


def caption_problems(images: Iterable[Path]) -> list[Problem]:
    """List what a chain would refuse of the captions beside images; none is missing, for a model may write it."""
    found, problems = captions_beside({path.as_posix(): path for path in images})
    return problems + [Problem(text.path.name, text.fault) for text in found.values() if text.fault]


def captions_beside(images: Mapping[str, Path]) -> tuple[dict[str, CaptionFile], list[Problem]]:
    """Find {name: the caption beside it}, where there is one, and which other captions do not count."""
    folders = {folder: _caption_files(folder) for folder in {path.parent for path in images.values()}}
    found, problems = {}, []
    for name, path in images.items():
        if paths := folders[path.parent].get(same_name(path.stem)):
            first, *others = paths
            found[name] = read_caption(first)
            reason = f"is another caption of {printable(path.name)}, for which {printable(first.name)} counts"
            problems += [Problem(other.name, reason) for other in others]
    return found, problems


def _caption_files(folder: Path) -> dict[str, list[Path]]:
    """Return {name without suffix: its captions by name}, whatever the case of the suffix: a.TXT is a caption of a.png."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in CAPTION_SUFFIXES and not is_litter(path):
            found[same_name(path.stem)].append(path)
    return dict(found)
