"""The .txt captions beside images: which there are, what they say, and what a chain would refuse of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import printable
from pipeline.core.guards import fault_of_text
from pipeline.inputs.datasets.items import Problem

LONGEST_CAPTION = 5_000
"""Characters. A text encoder reads 225 tokens at most; what is longer than this is no caption."""

_TOO_LONG = f"is longer than the {LONGEST_CAPTION:,} characters that a caption may have"


@dataclass(frozen=True)
class CaptionFile:
    """What a caption's file says, on one line; `fault` is why that is no caption, "" for nothing."""

    path: Path
    text: str = ""
    fault: str = ""


def read_caption(path: Path) -> CaptionFile:
    """Read the caption in a file; an empty one is no fault, for a model may fill it."""
    if not path.is_file():
        return CaptionFile(path, fault="is no plain file, so it is no caption")
    try:
        if path.stat().st_size > 4 * LONGEST_CAPTION:
            return CaptionFile(path, fault=_TOO_LONG)
        text = " ".join(path.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError:
        return CaptionFile(path, fault="is not UTF-8 text")
    except OSError as error:
        return CaptionFile(path, fault=f"cannot be read: {error.strerror}")
    return CaptionFile(path, text, fault_of_caption(text))


def fault_of_caption(text: str) -> str:
    """Return why a chain would not take a caption, "" when it would, or when it is empty."""
    fault = fault_of_text(text)
    return f"holds {fault}" if fault else _TOO_LONG if len(text) > LONGEST_CAPTION else ""


def caption_problems(images: Iterable[Path]) -> list[Problem]:
    """List what a chain would refuse of the captions beside images; none is missing, for a model may write it."""
    found, problems = captions_beside({path.as_posix(): path for path in images})
    return problems + [Problem(text.path.name, text.fault) for text in found.values() if text.fault]


def captions_beside(images: Mapping[str, Path]) -> tuple[dict[str, CaptionFile], list[Problem]]:
    """Find {name: the caption beside it}, where there is one, and which other captions do not count."""
    folders = {folder: _text_files(folder) for folder in {path.parent for path in images.values()}}
    found, problems = {}, []
    for name, path in images.items():
        if paths := folders[path.parent].get(path.stem):
            first, *others = paths
            found[name] = read_caption(first)
            reason = f"is another caption of {printable(path.name)}, for which {printable(first.name)} counts"
            problems += [Problem(other.name, reason) for other in others]
    return found, problems


def _text_files(folder: Path) -> dict[str, list[Path]]:
    """Return {name without suffix: its .txt files by name}, whatever the case of the suffix: a.TXT is a caption of a.png."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() == ".txt":
            found[path.stem].append(path)
    return dict(found)
